//! The hook that sees bodies: the head is held back until its verdict.

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Http1, Http2, WeirProcess, eventually};

use super::{chain, number, puppet, received, told};
use crate::stage::weir;

async fn with_bodies(origin: &EchoOrigin, more: &str) -> Result<WeirProcess> {
    let config = format!("without = []\nbody_limit = 16\n{more}");
    weir(chain(origin.address(), &["a"], &puppet("a", &config, "")?)).await
}

#[tokio::test]
async fn nothing_goes_upstream_before_the_verdict_and_then_all_of_it() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let weir = with_bodies(&origin, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client
        .send(
            "POST /held HTTP/1.1\r\nhost: t\r\nx-a: memo 5\r\nx-a-body: told; memo 6\r\nx-a-response: told\r\n\
             content-length: 10\r\n\r\nhello",
        )
        .await?;
    eventually("the request's head", async || {
        (number(&told(&weir, "a").await.ok()?, "/calls/request") == 1).then_some(())
    })
    .await?;
    assert_eq!((origin.connections(), number(&told(&weir, "a").await?, "/calls/request_body")), (0, 0));
    client.send("world").await?;
    let answer = client.response("POST").await?;
    let report = answer.json()?;
    assert_eq!((&report["body"], &report["body_length"]), (&"helloworld".into(), &10.into()), "{report}");
    assert_eq!(received(&answer, "x-a-told")?.as_deref(), Some("5 helloworld"));
    assert_eq!(answer.field("x-a-told"), Some("200 6"));
    Ok(())
}

#[tokio::test]
async fn chunked_bodies_and_those_of_http2_are_shown_whole() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let weir = with_bodies(&origin, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: t\r\nx-a-body: told\r\ntransfer-encoding: chunked\r\n\r\n\
             3\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: t\r\n\r\n",
        )
        .await?;
    let chunked = client.response("POST").await?;
    assert_eq!(received(&chunked, "x-a-told")?.as_deref(), Some("0 abcde"));
    assert_eq!(chunked.json()?["body"], "abcde");
    let empty = client.request("GET", "/", &[("x-a-body", "told")], b"").await?;
    assert_eq!(received(&empty, "x-a-told")?.as_deref(), Some("0"));
    let h2 = Http2::connect(weir.address("web")?).await?;
    let told = h2.request("POST", "/", &[("x-a-body", "told")], b"over h2").await?;
    assert_eq!(
        (told.json()?["body"].as_str(), received(&told, "x-a-told")?.as_deref()),
        (Some("over h2"), Some("0 over h2"))
    );
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_and_one_that_is_refused_gets_the_answer() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let weir = with_bodies(&origin, "").await?;
    let address = weir.address("web")?;
    let large =
        Http1::connect(address).await?.request("POST", "/", &[("x-a", "memo 31")], &[b'x'; 17]).await?;
    assert_eq!(large.status, 413);
    assert!(large.field("proxy-status").context("Proxy-Status")?.contains("body_too_large"));
    let mut chunked = Http1::connect(address).await?;
    chunked.send("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n").await?;
    assert_eq!(chunked.response("POST").await?.status, 413);
    let fits = Http1::connect(address).await?.request("POST", "/", &[], &[b'x'; 16]).await?;
    assert_eq!(fits.status, 200);
    let evil = [("x-a", "memo 32"), ("x-a-body", "answer 403 evil; reason evil")];
    let refused = Http1::connect(address).await?.request("POST", "/", &evil, b"bad").await?;
    assert_eq!((refused.status, refused.text().as_str()), (403, "evil"));
    assert_eq!(origin.requests(), 1);
    // `on-request` had passed, so each end is told.
    weir.line_with("a ended: status 413 cluster None attempts 0 local true aborted false memo 31").await?;
    weir.line_with("a ended: status 403 cluster None attempts 0 local true aborted false memo 32").await?;
    Ok(())
}

#[tokio::test]
async fn a_caller_who_expects_100_is_invited_by_the_filter_that_wants_the_body() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let weir = with_bodies(&origin, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client
        .send("POST / HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\nx-a-body: told\r\ncontent-length: 2\r\n\r\n")
        .await?;
    eventually("the hook", async || {
        (number(&told(&weir, "a").await.ok()?, "/calls/request") == 1).then_some(())
    })
    .await?;
    client.send("hi").await?;
    let answer = client.response("POST").await?;
    assert_eq!((answer.interim.as_slice(), answer.json()?["body"].as_str()), (&[100][..], Some("hi")));
    Ok(())
}

#[tokio::test]
async fn waiting_for_a_body_is_not_the_exchanges_own_time() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let config = "without = []\nbody_limit = 16";
    let config = chain(origin.address(), &["a"], &puppet("a", config, "")?)
        .replace("[clusters.origin]\n", "[clusters.origin]\nexchange_timeout = \"2s\"\n");
    let weir = weir(config).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n").await?;
    for byte in 0..10 {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        client.send(byte.to_string()).await?;
    }
    let answer = client.response("POST").await?;
    assert_eq!(
        (answer.status, answer.json()?["body"].as_str()),
        (200, Some("0123456789")),
        "{}",
        answer.text()
    );
    Ok(())
}
