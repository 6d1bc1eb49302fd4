//! `Expect: 100-continue` (RFC 9110 10.1.1): the caller is invited when somebody wants its body.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{EchoOptions, EchoOrigin, EchoProtocol, Http1, Script, ScriptedOrigin};

use crate::stage::{plain, weir};

const ASK: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn an_origin_that_wants_the_body_has_it_invited() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..2 {
        client.send(ASK).await?;
        let invitation = client.wire().head().await?.unwrap();
        assert_eq!(invitation.start, "HTTP/1.1 100 Continue");
        client.send("hello").await?;
        let told = client.response("POST").await?;
        assert_eq!((told.status, told.text().as_str(), told.interim.len()), (200, "hello", 0));
    }
    Ok(())
}

#[tokio::test]
async fn an_origin_behind_http2_has_it_invited_too() -> Result<()> {
    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let config =
        plain(origin.address(), "").replace("[clusters.origin]", "[clusters.origin]\nprotocol = \"h2\"");
    let weir = weir(config).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(ASK).await?;
    assert_eq!(client.wire().head().await?.unwrap().start, "HTTP/1.1 100 Continue");
    client.send("hello").await?;
    assert_eq!(client.response("POST").await?.text(), "hello");
    Ok(())
}

#[tokio::test]
async fn an_origin_that_refuses_the_body_is_not_sent_it() -> Result<()> {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
    let origin = ScriptedOrigin::start(Script::new().head().send(refusal).hang()).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(ASK).await?;
    let told = client.response("POST").await?;
    assert_eq!((told.status, told.interim.len(), told.closes()), (401, 0, true));
    client.closed().await?;
    // The connection is not kept either: the origin may still wait for the body.
    let seen = origin.until("the end", |seen| seen[0].ending.clone().map(|_| seen[0].clone())).await?;
    assert_eq!(seen.heads[0].all("expect").collect::<Vec<_>>(), [b"100-continue"]);
    assert!(seen.bytes.ends_with(b"\r\n\r\n"), "{:?}", String::from_utf8_lossy(&seen.bytes));
    Ok(())
}

#[tokio::test]
async fn an_origin_that_knows_no_invitations_gets_the_body_after_a_moment() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let script = Script::new().head().body().wait(&gate).send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let origin = ScriptedOrigin::start(script).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(ASK).await?;
    assert_eq!(client.wire().head().await?.unwrap().start, "HTTP/1.1 100 Continue");
    client.send("hello").await?;
    gate.notify_one();
    assert_eq!(client.response("POST").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_caller_that_does_not_wait_needs_no_invitation() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(format!("{ASK}hello{ASK}again")).await?;
    assert_eq!(client.response("POST").await?.text(), "hello");
    assert_eq!(client.response("POST").await?.text(), "again");
    Ok(())
}

#[tokio::test]
async fn early_hints_pass_and_other_interim_answers_do_not() -> Result<()> {
    let answer = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
                  HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::always(answer)).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.interim, [103]);
    client.send("GET / HTTP/1.0\r\n\r\n").await?;
    assert!(client.response("GET").await?.interim.is_empty(), "HTTP/1.0 knows none");
    Ok(())
}
