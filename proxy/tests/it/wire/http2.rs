//! HTTP/2 as callers speak it (RFC 9113).

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http2, RawH2, Stream};

use super::metric_is;
use crate::stage::{plain, weir};

#[tokio::test]
async fn streams_run_beside_each_other_on_one_connection() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let slow = client.open("GET", "/delay/400ms", &[], true).await?;
    for _ in 0..20 {
        assert_eq!(client.request("POST", "/echo", &[], b"quick").await?.text(), "quick");
    }
    assert_eq!(slow.response().await?.status, 200);
    metric_is(&weir, "weir_connections_active{listener=\"web\"}", 1.0).await
}

#[tokio::test]
async fn responses_without_a_body_end_with_their_head() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let head = client.request("HEAD", "/bytes/1000", &[], b"").await?;
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("1000"), 0));
    let empty = client.request("GET", "/bytes/0", &[], b"").await?;
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    Ok(())
}

#[tokio::test]
async fn trailers_of_a_request_pass() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let mut sending = client.open("POST", "/", &[], false).await?;
    sending.send(b"abc", false).await?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("3"));
    sending.body.send_trailers(trailers)?;
    let told = sending.response().await?.json()?;
    assert_eq!((&told["body"], &told["trailers"][0][1]), (&"abc".into(), &"3".into()));
    Ok(())
}

#[tokio::test]
async fn a_tunnel_is_refused_and_the_connection_goes_on() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    client.headers(1, &[(b":method", b"CONNECT"), (b":authority", b"a.example:443")], false).await?;
    let answer = client.outcome(1).await?.unwrap();
    assert_eq!(RawH2::status(&answer)?, 501);
    let get: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
    client.headers(3, &get, true).await?;
    assert_eq!(RawH2::status(&client.outcome(3).await?.unwrap())?, 200);
    assert_eq!(origin.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_away() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "[listeners.web.limits]\nidle_timeout = \"300ms\"\n")).await?;
    let mut client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    let get: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/delay/600ms"), (b":authority", b"a")];
    client.headers(1, &get, true).await?;
    assert_eq!(RawH2::status(&client.outcome(1).await?.unwrap())?, 200, "a busy connection is not idle");
    let goodbye = client.outcome(99).await?.unwrap();
    assert_eq!((goodbye.kind, &goodbye.payload[4..8]), (7, &[0, 0, 0, 0][..]));
    metric_is(&weir, "weir_connections_active{listener=\"web\"}", 0.0).await
}

#[tokio::test]
async fn a_connection_serves_as_many_streams_as_configured() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "[listeners.web.limits]\nrequests = 3\n")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    for _ in 0..3 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    assert!(client.get("/").await.is_err(), "GOAWAY after the third");
    metric_is(&weir, "weir_connections_active{listener=\"web\"}", 0.0).await
}

#[tokio::test]
async fn both_versions_share_a_port() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let address = weir.address("web")?;
    assert_eq!(Http2::connect(address).await?.get("/").await?.status, 200);
    // A preface that comes in pieces is still one; what only begins like it is HTTP/1.1.
    let mut slow = weir_testkit::Wire::new(Stream::connect(address).await?);
    for piece in ["PR", "I * HTTP/2.0\r\n", "\r\nSM\r\n\r\n"] {
        slow.write(piece.as_bytes()).await?;
        tokio::task::yield_now().await;
    }
    slow.write(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    assert_eq!(slow.exactly(9).await?[3], 4, "SETTINGS");
    let mut other = weir_testkit::Http1::connect(address).await?;
    other.send("PRINT / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    assert_eq!(other.response("PRINT").await?.status, 200);
    Ok(())
}
