//! One address for whatever comes: HTTP is understood, all else passes, and nobody is kept waiting.

use std::time::Duration;

use anyhow::Result;
use weir_testkit::{Ca, EchoOrigin, Http1, Http2, Launch, RawOrigin, Stream, Wire};

use super::LOGGED;
use crate::{
    stage::{WEIR, plain, weir},
    upstream::{logged, reaches},
};

fn detecting(config: String) -> String {
    config.replace("[listeners.web]\n", "[listeners.web]\nprotocol = \"detect\"\n")
}

#[tokio::test]
async fn http_is_understood() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(detecting(plain(origin.address(), LOGGED))).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/one").await?.status, 200);
    assert_eq!(Http2::connect(weir.address("web")?).await?.get("/two").await?.status, 200);
    let lines = logged(&weir, 2).await?;
    assert_eq!((&lines[0]["path"], &lines[1]["path"]), (&"/one".into(), &"/two".into()), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() -> Result<()> {
    let origin = RawOrigin::echo(None, "SSH-2.0-x\r\n").await?;
    let weir = weir(detecting(plain(origin.address(), LOGGED))).await?;
    let mut caller = Wire::new(Stream::connect(weir.address("web")?).await?);
    assert_eq!(caller.exactly(11).await?, b"SSH-2.0-x\r\n");
    caller.write(b"GET / HTTP/1.1\r\n").await?;
    assert_eq!(caller.exactly(16).await?, b"GET / HTTP/1.1\r\n", "it is too late to be HTTP");
    caller.finish().await?;
    caller.to_end().await?;
    assert_eq!(logged(&weir, 1).await?[0]["protocol"], "TCP");
    Ok(())
}

#[tokio::test]
async fn what_is_no_http_passes_whole() -> Result<()> {
    let origin = RawOrigin::echo(None, "").await?;
    let weir = weir(detecting(plain(origin.address(), ""))).await?;
    for bytes in [&b"*1\r\n$4\r\nPING\r\n"[..], b"GETX", b"\0\0\0\x08\x04\xd2\x16\x2f", b"PRI * HTTP/3"] {
        let mut caller = Wire::new(Stream::connect(weir.address("web")?).await?);
        caller.write(bytes).await?;
        assert_eq!(caller.exactly(bytes.len()).await?, bytes);
    }
    // Half a word, and then another.
    let mut caller = Wire::new(Stream::connect(weir.address("web")?).await?);
    caller.write(b"PO").await?;
    tokio::time::sleep(Duration::from_millis(10)).await;
    caller.write(b"NG").await?;
    assert_eq!(caller.exactly(4).await?, b"PONG");
    reaches(&weir, "weir_requests_total{listener=\"web\",code_class=\"4xx\"}", 0.0).await
}

#[tokio::test]
async fn tls_ends_here_where_there_is_a_certificate_and_passes_where_there_is_none() -> Result<()> {
    let ca = Ca::new()?;
    let (here, there) = (ca.leaf(&["here.example"])?, ca.leaf(&["there.example"])?);
    let raw = RawOrigin::echo(Some(ca.server(&there, &[])?), "hi").await?;
    let passing = weir(detecting(plain(raw.address(), LOGGED))).await?;
    let stream = Stream::connect_tls(passing.address("web")?, ca.client(&[], None)?, "there.example").await?;
    let mut caller = Wire::new(stream);
    assert_eq!(caller.exactly(2).await?, b"hi");
    drop(caller);
    assert_eq!(logged(&passing, 1).await?[0]["protocol"], "TLS");
    let origin = EchoOrigin::start("one").await?;
    let config = detecting(plain(origin.address(), "")).replace(
        "[listeners.web]\n",
        "[listeners.web]\ntls = { certificates = [{ cert = \"1.pem\", key = \"1.key\" }] }\n",
    );
    let launch = Launch::new(WEIR, config).file("1.pem", here.pem()).file("1.key", here.key_pem());
    let ending = launch.start().await?;
    let mut client =
        Http1::connect_tls(ending.address("web")?, ca.client(&["http/1.1"], None)?, "here.example").await?;
    assert_eq!(client.get("/").await?.status, 200);
    assert_eq!(Http1::fetch(ending.address("web")?, "/").await?.status, 200, "and in plain text");
    Ok(())
}
