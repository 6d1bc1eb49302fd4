//! TLS at the listener: certificates by name, protocols by ALPN.

use std::sync::Arc;

use anyhow::Result;
use weir_testkit::{Ca, EchoOrigin, Http1, Http2, Launch, Stream, WeirProcess};

use super::{metric_is, with};
use crate::stage::{WEIR, plain};

struct Stage {
    weir: WeirProcess,
    ca: Ca,
    one: weir_testkit::Leaf,
    other: weir_testkit::Leaf,
    _origin: EchoOrigin,
}

async fn stage() -> Result<Stage> {
    let origin = EchoOrigin::start("one").await?;
    let ca = Ca::new()?;
    let (one, other) = (ca.leaf(&["one.example"])?, ca.leaf(&["*.other.example"])?);
    let tls = "tls = { certificates = [{ cert = \"{dir}/1.pem\", key = \"{dir}/1.key\" }, \
               { cert = \"{dir}/2.pem\", key = \"{dir}/2.key\" }] }";
    let weir = Launch::new(WEIR, with(&plain(origin.address(), super::LOGGED), "listeners.web", tls))
        .file("1.pem", one.pem())
        .file("1.key", one.key_pem())
        .file("2.pem", other.pem())
        .file("2.key", other.key_pem())
        .start()
        .await?;
    Ok(Stage { weir, ca, one, other, _origin: origin })
}

#[tokio::test]
async fn the_certificate_of_the_name_that_was_asked_for_is_shown() -> Result<()> {
    let stage = stage().await?;
    let tls = stage.ca.client(&[], None)?;
    for (name, leaf) in [("one.example", &stage.one), ("a.other.example", &stage.other)] {
        let stream = Stream::connect_tls(stage.weir.address("web")?, Arc::clone(&tls), name).await?;
        assert_eq!(stream.peer_certificates()[0], leaf.der(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn alpn_chooses_the_version() -> Result<()> {
    let stage = stage().await?;
    let address = stage.weir.address("web")?;
    let both = stage.ca.client(&["h2", "http/1.1"], None)?;
    let old = stage.ca.client(&["http/1.1"], None)?;
    let none = stage.ca.client(&[], None)?;
    let over_h2 = Http2::connect_tls(address, both, "one.example").await?.get("/").await?.json()?;
    for field in [["x-forwarded-proto", "https"], ["via", "2.0 weir"]] {
        assert!(over_h2["fields"].as_array().unwrap().contains(&field.into()), "{over_h2}");
    }
    for tls in [old, none] {
        let mut client = Http1::connect_tls(address, tls, "one.example").await?;
        let told = client.request("POST", "/echo", &[], &[b'x'; 200_000]).await?;
        assert_eq!(told.body.len(), 200_000);
        assert_eq!(client.get("/").await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_tls_and_whom_nobody_trusts_is_counted() -> Result<()> {
    let stage = stage().await?;
    let address = stage.weir.address("web")?;
    let mut plain = Http1::connect(address).await?;
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    // TLS says so in an alert; HTTP hears nothing.
    let _ = plain.response("GET").await.expect_err("an answer in plain text");
    let failed = "weir_tls_handshakes_total{listener=\"web\",result=\"failed\"}";
    metric_is(&stage.weir, failed, 1.0).await?;
    metric_is(&stage.weir, "weir_connections_active{listener=\"web\"}", 0.0).await
}
