//! TLS towards endpoints: who is believed, what is spoken.

use anyhow::Result;
use tokio::task::JoinSet;
use weir_testkit::{
    Ca, EchoOptions, EchoOrigin, EchoProtocol, Http1, Launch, Script, ScriptedOrigin, WeirProcess,
};

use super::{reaches, reasons, settled};
use crate::stage::{WEIR, plain};

/// An origin that proves to be `name`.
async fn origin(ca: &Ca, name: &str, alpn: &[&str]) -> Result<EchoOrigin> {
    let tls = Some(ca.server(&ca.leaf(&[name])?, alpn)?);
    EchoOrigin::start_with(EchoOptions { protocol: EchoProtocol::Alpn, tls, ..EchoOptions::default() }).await
}

/// Weir that trusts `ca` for the cluster's endpoints.
async fn trusting(ca: &Ca, origin: std::net::SocketAddr, tls: &str, keys: &str) -> Result<WeirProcess> {
    let more = format!("{keys}\ntls = {{ ca = \"ca.pem\"{tls} }}");
    let config = plain(origin, &more).replace("count = 2", "count = 1");
    Launch::new(WEIR, config).file("ca.pem", ca.pem()).start().await
}

const NAMED: &str = ", server_name = \"origin.test\"";

#[tokio::test]
async fn alpn_chooses_what_is_spoken() -> Result<()> {
    let ca = Ca::new()?;
    for (offered, keys, version) in [
        (&["h2", "http/1.1"][..], "", "HTTP/2.0"),
        (&["http/1.1"], "", "HTTP/1.1"),
        (&[], "", "HTTP/1.1"),
        (&["h2", "http/1.1"], "protocol = \"h1\"", "HTTP/1.1"),
        (&["h2", "http/1.1"], "protocol = \"h2\"", "HTTP/2.0"),
    ] {
        let origin = origin(&ca, "origin.test", offered).await?;
        let weir = trusting(&ca, origin.address(), NAMED, keys).await?;
        let mut client = Http1::connect(weir.address("web")?).await?;
        for _ in 0..3 {
            let told = client.get("/").await?;
            assert_eq!(
                (told.status, told.json()?["version"].as_str()),
                (200, Some(version)),
                "{offered:?} {keys}"
            );
        }
        assert_eq!(origin.connections(), 1, "{offered:?} {keys}");
    }
    Ok(())
}

#[tokio::test]
async fn a_burst_makes_one_connection_where_that_is_enough() -> Result<()> {
    let ca = Ca::new()?;
    let origin = origin(&ca, "origin.test", &["h2", "http/1.1"]).await?;
    let weir = trusting(&ca, origin.address(), NAMED, "").await?;
    let address = weir.address("web")?;
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        clients.spawn(async move { Http1::fetch(address, "/delay/20").await });
    }
    while let Some(told) = clients.join_next().await {
        assert_eq!(told??.status, 200);
    }
    assert_eq!(origin.connections(), 1);
    settled(&weir).await
}

#[tokio::test]
async fn the_address_is_the_name_unless_another_is_given() -> Result<()> {
    let ca = Ca::new()?;
    let by_address = origin(&ca, "127.0.0.1", &[]).await?;
    let weir = trusting(&ca, by_address.address(), "", "").await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);

    let by_name = origin(&ca, "localhost", &[]).await?;
    let config = plain(by_name.address(), "tls = { ca = \"ca.pem\" }");
    let config =
        config.replace(&by_name.address().to_string(), &format!("localhost:{}", by_name.address().port()));
    let weir = Launch::new(WEIR, config).file("ca.pem", ca.pem()).start().await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    Ok(())
}

/// What Weir answers for an endpoint that it must not believe.
async fn refused(weir: &WeirProcess) -> Result<()> {
    let told = Http1::fetch(weir.address("web")?, "/").await?;
    let status = told.field("proxy-status").unwrap_or_default();
    assert_eq!(told.status, 503, "{status}");
    assert!(status.contains("error=tls_protocol_error") && status.contains("upstream_tls"), "{status}");
    reasons(weir, "upstream_tls", 1.0).await?;
    let failures = "weir_cluster_connect_failures_total{cluster=\"origin\",reason=\"tls\"}";
    reaches(weir, failures, 1.0).await?;
    settled(weir).await
}

#[tokio::test]
async fn an_endpoint_that_cannot_prove_its_name_is_not_talked_to() -> Result<()> {
    let (ca, other) = (Ca::new()?, Ca::new()?);
    let stranger = origin(&other, "origin.test", &[]).await?;
    refused(&trusting(&ca, stranger.address(), NAMED, "retries = 0").await?).await?;
    let misnamed = origin(&ca, "another.test", &[]).await?;
    refused(&trusting(&ca, misnamed.address(), NAMED, "retries = 0").await?).await?;
    assert_eq!((stranger.requests(), misnamed.requests()), (0, 0));
    let without = EchoOrigin::start("plain").await?;
    refused(&trusting(&ca, without.address(), NAMED, "retries = 0").await?).await?;
    let no_h2 = origin(&ca, "origin.test", &[]).await?;
    refused(&trusting(&ca, no_h2.address(), NAMED, "retries = 0\nprotocol = \"h2\"").await?).await
}

#[tokio::test]
async fn a_handshake_that_stalls_is_a_late_connection() -> Result<()> {
    let ca = Ca::new()?;
    let silent = ScriptedOrigin::start(Script::new().hang()).await?;
    let weir = trusting(&ca, silent.address(), NAMED, "retries = 0\nconnect_timeout = \"200ms\"").await?;
    let told = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!(told.status, 503);
    reasons(&weir, "connect_timeout", 1.0).await?;
    silent.until("the connection ending", |seen| seen[0].ending.clone()).await?;
    settled(&weir).await
}

#[tokio::test]
async fn weir_proves_who_it_is_to_endpoints_that_ask() -> Result<()> {
    let ca = Ca::new()?;
    let tls = Some(ca.mutual_server(&ca.leaf(&["origin.test"])?, &[])?);
    let origin = EchoOrigin::start_with(EchoOptions { tls, ..EchoOptions::default() }).await?;
    let weir = ca.leaf(&["weir.test"])?;
    let config = plain(
        origin.address(),
        "tls = { ca = \"ca.pem\", server_name = \"origin.test\", certificate = { cert = \"w.pem\", key = \"w.key\" } }",
    );
    let launch = Launch::new(WEIR, config).file("ca.pem", ca.pem());
    let proven = launch.file("w.pem", weir.pem()).file("w.key", weir.key_pem()).start().await?;
    assert_eq!(Http1::fetch(proven.address("web")?, "/").await?.status, 200);

    let anonymous = trusting(&ca, origin.address(), NAMED, "").await?;
    let told = Http1::fetch(anonymous.address("web")?, "/").await?;
    assert!(matches!(told.status, 502 | 503), "{}", told.status);
    Ok(())
}

#[tokio::test]
async fn a_kept_tls_connection_that_was_closed_is_replaced() -> Result<()> {
    let ca = Ca::new()?;
    let tls = ca.server(&ca.leaf(&["origin.test"])?, &[])?;
    let origin = ScriptedOrigin::start_with(Some(tls), |number| match number {
        0 => Script::new().head().send(super::OK).head(),
        _ => Script::always(super::OK),
    })
    .await?;
    let weir = trusting(&ca, origin.address(), NAMED, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..3 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    settled(&weir).await
}
