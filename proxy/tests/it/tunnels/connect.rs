//! CONNECT (RFC 9110 9.3.6): a tunnel to an endpoint of the cluster, where a listener allows it.

use anyhow::{Context, Result};
use weir_testkit::{Http1, Http2, RawH2, RawOrigin, Stream, within};

use super::{LOGGED, ended};
use crate::{
    stage::{plain, weir},
    upstream::{Nobody, endpoint, endpoints, logged},
};

fn allowing(config: String) -> String {
    config.replace("[listeners.web]\n", "[listeners.web]\nconnect = true\n")
}

#[tokio::test]
async fn bytes_pass_from_the_first() -> Result<()> {
    let origin = RawOrigin::echo(None, "220 ready\r\n").await?;
    let weir = weir(allowing(plain(origin.address(), LOGGED))).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\nearly").await?;
    let head = client.wire().head().await?.context("no answer")?;
    assert_eq!(head.start, "HTTP/1.1 200 OK");
    for name in ["content-length", "transfer-encoding", "connection"] {
        assert_eq!(head.all(name).count(), 0, "{name}");
    }
    assert_eq!(client.wire().exactly(16).await?, b"220 ready\r\nearly");
    client.finish().await?;
    client.closed().await?;
    let line = &logged(&weir, 1).await?[0];
    assert_eq!(
        (&line["method"], &line["authority"]),
        (&"CONNECT".into(), &"db.example:5432".into()),
        "{line}"
    );
    assert_eq!((&line["status"], &line["flags"][0]), (&200.into(), &"upgraded".into()), "{line}");
    Ok(())
}

#[tokio::test]
async fn over_http2_beside_other_streams() -> Result<()> {
    let origin = RawOrigin::echo(None, "hi").await?;
    let weir = weir(allowing(plain(origin.address(), ""))).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    // `CONNECT` has an authority and nothing else; the library wants it as a URI.
    let mut call = client.open("CONNECT", "http://db.example:5432", &[], false).await;
    if call.is_err() {
        call = client.open("CONNECT", "db.example:5432", &[], false).await;
    }
    let mut call = call?;
    call.send(b"question", false).await?;
    let (mut send, response) = call.split();
    let head = within("the head", response).await??;
    assert_eq!(head.status(), 200);
    let mut body = head.into_body();
    let mut read = Vec::new();
    while read.len() < 10 {
        let piece = within("data", body.data()).await?.context("ended")??;
        body.flow_control().release_capacity(piece.len())?;
        read.extend_from_slice(&piece);
    }
    assert_eq!(read, b"hiquestion");
    send.send_data(bytes::Bytes::new(), true)?;
    ended(&mut body).await
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_passed_over() -> Result<()> {
    let (origin, nobody) = (RawOrigin::echo(None, "hi").await?, Nobody::new()?);
    let list = [endpoint(nobody.address()?), endpoint(origin.address())];
    let config = allowing(endpoints(&list, "balancer = \"round_robin\"\n"));
    let weir = weir(config).await?;
    for _ in 0..4 {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await?;
        assert_eq!(client.wire().head().await?.context("no answer")?.start, "HTTP/1.1 200 OK");
        assert_eq!(client.wire().exactly(2).await?, b"hi");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_to_reach_is_an_answer() -> Result<()> {
    let nobody = Nobody::new()?;
    let weir = weir(allowing(plain(nobody.address()?, ""))).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await?;
    assert_eq!(client.response("GET").await?.status, 503);
    Ok(())
}

#[tokio::test]
async fn a_connect_with_a_body_is_malformed() -> Result<()> {
    let origin = RawOrigin::echo(None, "").await?;
    let weir = weir(allowing(plain(origin.address(), ""))).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc").await?;
    assert_eq!(client.response("POST").await?.status, 400);
    let mut client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    let fields: [(&[u8], &[u8]); 3] =
        [(b":method", b"CONNECT"), (b":authority", b"a:1"), (b"content-length", b"3")];
    client.headers(1, &fields, false).await?;
    assert_eq!(client.outcome(1).await?.map(|frame| frame.kind), Some(3));
    assert_eq!(origin.connections(), 0);
    Ok(())
}
