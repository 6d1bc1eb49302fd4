//! Who may call a listener with an identity: SVIDs right and wrong, plain text, and those who are moving.

use anyhow::Result;
use weir_testkit::{Ca, EchoOrigin, Http1, Http2, Leaf, SvidPlan, WeirProcess};

use super::{HOST, counted, mesh, start};

const WEB: &str = "spiffe://td/sa/web";

async fn requiring(origin: &EchoOrigin, ca: &Ca, tls: &str) -> Result<WeirProcess> {
    let listener = format!("tls = {{ identity = \"own\"{tls} }}");
    start(mesh(origin.address(), &listener, ""), ca).await
}

/// The status of one exchange of a caller that shows this certificate.
async fn status(weir: &WeirProcess, ca: &Ca, certificate: Option<&Leaf>) -> Result<u16> {
    let tls = ca.client(&["http/1.1"], certificate)?;
    Ok(Http1::connect_tls(weir.address("web")?, tls, HOST).await?.get("/").await?.status)
}

async fn refused(weir: &WeirProcess, reason: &str, times: f64) -> Result<()> {
    let series = format!("weir_tls_refusals_total{{listener=\"web\",reason=\"{reason}\"}}");
    counted(weir, &series, times).await
}

#[tokio::test]
async fn only_good_svids_of_those_who_may_call_get_in() -> Result<()> {
    let (ca, stranger) = (Ca::new()?, Ca::new()?);
    let origin = EchoOrigin::start("origin").await?;
    let weir =
        requiring(&origin, &ca, ", peers = [\"spiffe://td/sa/web\", \"spiffe://td/ns/*/sa/web\"]").await?;
    for id in [WEB, "spiffe://td/ns/shop/sa/web"] {
        let leaf = ca.svid(&SvidPlan::of(id))?;
        assert_eq!(status(&weir, &ca, Some(&leaf)).await?, 200, "{id}");
    }
    let h2 = ca.client(&["h2"], Some(&ca.svid(&SvidPlan::of(WEB))?))?;
    assert_eq!(Http2::connect_tls(weir.address("web")?, h2, HOST).await?.get("/").await?.status, 200);
    let before = origin.requests();

    let right = SvidPlan::of(WEB);
    for (reason, leaf) in [
        ("expired", ca.svid(&SvidPlan { begins: -7200, expires: -3600, ..right.clone() })?),
        ("not_yet_valid", ca.svid(&SvidPlan { begins: 3600, expires: 7200, ..right.clone() })?),
        ("foreign", stranger.svid(&right)?),
        ("wrong_purpose", ca.svid(&SvidPlan { purposes: (true, false), ..right.clone() })?),
        ("wrong_identity", ca.svid(&SvidPlan::of("spiffe://td/sa/eve"))?),
    ] {
        assert!(status(&weir, &ca, Some(&leaf)).await.is_err(), "{reason}");
        refused(&weir, reason, 1.0).await?;
    }
    // Not an SVID at all, or that of an authority: for something else, both.
    for leaf in [ca.leaf(&["web.test"])?, ca.svid(&SvidPlan { ca: true, ..right })?] {
        assert!(status(&weir, &ca, Some(&leaf)).await.is_err());
    }
    refused(&weir, "wrong_purpose", 3.0).await?;
    assert!(status(&weir, &ca, None).await.is_err());
    refused(&weir, "missing", 1.0).await?;
    let told = Http1::fetch(weir.address("web")?, "/").await;
    assert!(told.is_err(), "plain text is answered: {told:?}");
    refused(&weir, "plain_text", 1.0).await?;
    assert_eq!(origin.requests(), before);
    Ok(())
}

#[tokio::test]
async fn a_permissive_port_takes_plain_text_and_mtls() -> Result<()> {
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let weir = requiring(&origin, &ca, ", mtls = \"permissive\"").await?;
    let address = weir.address("web")?;
    let web = ca.svid(&SvidPlan::of(WEB))?;
    assert_eq!(Http1::fetch(address, "/").await?.status, 200);
    assert_eq!(Http2::connect(address).await?.get("/").await?.status, 200);
    assert_eq!(status(&weir, &ca, Some(&web)).await?, 200);
    // Who speaks TLS has to be somebody.
    assert!(status(&weir, &ca, None).await.is_err());
    refused(&weir, "missing", 1.0).await?;
    // Byte by byte is plain text, too.
    let mut slow = Http1::connect(address).await?;
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
        slow.send([*byte]).await?;
    }
    assert_eq!(slow.response("GET").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn callers_need_no_certificate_where_none_is_asked_for() -> Result<()> {
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let weir = requiring(&origin, &ca, ", mtls = \"none\"").await?;
    assert_eq!(status(&weir, &ca, None).await?, 200);
    assert!(Http1::fetch(weir.address("web")?, "/").await.is_err());
    refused(&weir, "plain_text", 1.0).await
}

#[tokio::test]
async fn sessions_are_resumed_and_end_with_the_bundle() -> Result<()> {
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let weir = requiring(&origin, &ca, "").await?;
    let tls = ca.client(&["http/1.1"], Some(&ca.svid(&SvidPlan::of(WEB))?))?;
    let exchange = async || -> Result<()> {
        let mut client = Http1::connect_tls(weir.address("web")?, tls.clone(), HOST).await?;
        assert_eq!(client.get("/").await?.status, 200);
        Ok(())
    };
    let handshakes =
        |result: &str| format!("weir_tls_handshakes_total{{listener=\"web\",result=\"{result}\"}}");
    exchange().await?;
    exchange().await?;
    counted(&weir, &handshakes("resumed"), 1.0).await?;

    weir.write_file("bundle.pem", ca.pem() + &Ca::new()?.pem())?;
    counted(&weir, "weir_identity_svids_total{identity=\"own\"}", 2.0).await?;
    exchange().await?;
    counted(&weir, &handshakes("full"), 2.0).await?;
    counted(&weir, &handshakes("resumed"), 1.0).await
}
