//! Callers who leave, stop, or do not read: the exchange upstream is given up, and nothing is left behind.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{Ending, Http1, Http2, Script, ScriptedOrigin, WeirProcess};

use super::{LOGGED, logged, metric_is};
use crate::stage::{plain, weir};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Connections and exchanges are over, at the listener and at the cluster.
async fn nothing_is_left(weir: &WeirProcess) -> Result<()> {
    for series in [
        "weir_connections_active{listener=\"web\"}",
        "weir_requests_active{listener=\"web\"}",
        "weir_cluster_requests_active{cluster=\"origin\"}",
    ] {
        metric_is(weir, series, 0.0).await?;
    }
    Ok(())
}

/// Weir before an origin that reads a request and never answers.
async fn silent() -> Result<(WeirProcess, ScriptedOrigin)> {
    let origin = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let weir = weir(plain(origin.address(), LOGGED)).await?;
    Ok((weir, origin))
}

async fn seen_to_leave(weir: &WeirProcess, origin: &ScriptedOrigin) -> Result<()> {
    origin.until("the end of the origin's connection", |seen| seen[0].ending.clone()).await?;
    let line = &logged(weir, 1).await?[0];
    assert_eq!((&line["status"], &line["reason"]), (&0.into(), &"downstream_aborted".into()), "{line}");
    assert_eq!(line["flags"][0], "downstream_aborted");
    metric_is(weir, "weir_local_replies_total{reason=\"downstream_aborted\"}", 1.0).await?;
    nothing_is_left(weir).await
}

#[tokio::test]
async fn a_caller_that_resets_while_it_waits_takes_its_exchange_along() -> Result<()> {
    let (weir, origin) = silent().await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    client.reset();
    seen_to_leave(&weir, &origin).await
}

#[tokio::test]
async fn a_caller_that_ends_its_side_while_it_waits_has_left() -> Result<()> {
    let (weir, origin) = silent().await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    client.finish().await?;
    client.gone().await?;
    seen_to_leave(&weir, &origin).await
}

#[tokio::test]
async fn a_caller_that_leaves_within_its_body_is_not_answered() -> Result<()> {
    let (weir, origin) = silent().await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    client.reset();
    seen_to_leave(&weir, &origin).await
}

#[tokio::test]
async fn an_http2_stream_that_is_reset_takes_its_exchange_along() -> Result<()> {
    let (weir, origin) = silent().await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let mut call = client.open("POST", "/", &[], false).await?;
    call.send(b"abc", false).await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    call.body.send_reset(h2::Reason::CANCEL);
    origin.until("the end of the origin's connection", |seen| seen[0].ending.clone()).await?;
    drop((call, client));
    seen_to_leave(&weir, &origin).await
}

#[tokio::test]
async fn an_http2_connection_that_is_cut_takes_its_exchanges_along() -> Result<()> {
    let (weir, origin) = silent().await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let call = client.open("GET", "/", &[], true).await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    drop((call, client));
    seen_to_leave(&weir, &origin).await
}

#[tokio::test]
async fn a_caller_that_leaves_within_a_quiet_response_is_noticed() -> Result<()> {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    for http2 in [false, true] {
        let origin = ScriptedOrigin::start(Script::new().head().send(begun).hang()).await?;
        let weir = weir(plain(origin.address(), LOGGED)).await?;
        if http2 {
            let client = Http2::connect(weir.address("web")?).await?;
            let head = client.open("GET", "/", &[], true).await?.head().await?;
            assert_eq!(head.status(), 200);
            drop(head);
            origin.until("the end of the origin's connection", |seen| seen[0].ending.clone()).await?;
        } else {
            let mut client = Http1::connect(weir.address("web")?).await?;
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
            assert!(client.wire().head().await?.unwrap().start.contains("200"));
            client.reset();
        }
        origin.until("the end of the origin's connection", |seen| seen[0].ending.clone()).await?;
        let line = &logged(&weir, 1).await?[0];
        assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"downstream_aborted".into()), "{line}");
        nothing_is_left(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_that_leaves_while_it_waits_for_a_connection_is_not_forwarded() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let origin = ScriptedOrigin::start(Script::new().head().wait(&gate).send(OK).again()).await?;
    let config = plain(origin.address(), &format!("[clusters.origin.limits]\nconnections = 1\n\n{LOGGED}"));
    let weir = weir(config.replace("count = 2", "count = 1")).await?;
    let mut first = Http1::connect(weir.address("web")?).await?;
    first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    origin.until("the first request", |seen| seen.first()?.heads.first().cloned()).await?;
    let mut second = Http1::connect(weir.address("web")?).await?;
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    metric_is(&weir, "weir_requests_active{listener=\"web\"}", 2.0).await?;
    second.reset();
    let line = &logged(&weir, 1).await?[0];
    assert_eq!((&line["path"], &line["reason"]), (&"/second".into(), &"downstream_aborted".into()));
    gate.notify_one();
    assert_eq!(first.response("GET").await?.status, 200);
    gate.notify_one();
    assert_eq!(first.get("/third").await?.status, 200);
    drop(first);
    let starts: Vec<_> = origin.seen().iter().flat_map(|s| s.heads.clone()).map(|h| h.start).collect();
    assert_eq!(starts, ["GET /first HTTP/1.1", "GET /third HTTP/1.1"]);
    nothing_is_left(&weir).await
}

#[tokio::test]
async fn a_caller_that_reads_nothing_is_cut_off() -> Result<()> {
    let origin = weir_testkit::EchoOrigin::start("one").await?;
    let config =
        plain(origin.address(), &format!("[listeners.web.limits]\nbody_timeout = \"500ms\"\n\n{LOGGED}"));
    let weir = weir(config).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET /bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    let line = &logged(&weir, 1).await?[0];
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"write_timeout".into()), "{line}");
    nothing_is_left(&weir).await?;
    drop(client);
    // Over HTTP/2 a window that is never opened is the same.
    let client = Http2::connect(weir.address("web")?).await?;
    let head = client.open("GET", "/bytes/100000000", &[], true).await?.head().await?;
    let line = &logged(&weir, 2).await?[1];
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"write_timeout".into()), "{line}");
    drop((head, client));
    nothing_is_left(&weir).await
}

#[tokio::test]
async fn a_response_that_is_cut_is_not_taken_for_whole() -> Result<()> {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let origin = ScriptedOrigin::start(Script::new().head().send(cut)).await?;
    let weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    assert!(client.response("GET").await.is_err());
    // A body that ends with its connection could look whole, so that the connection must end badly.
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let origin = ScriptedOrigin::start(Script::new().head().send(chunked)).await?;
    let other = crate::stage::weir(plain(origin.address(), LOGGED)).await?;
    let mut old = Http1::connect(other.address("web")?).await?;
    old.send("GET / HTTP/1.0\r\n\r\n").await?;
    assert!(old.response("GET").await.is_err(), "an orderly end");
    let client = Http2::connect(other.address("web")?).await?;
    assert!(client.get("/").await.is_err());
    for line in [&logged(&weir, 1).await?[0], &logged(&other, 2).await?[1]] {
        assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"upstream_aborted".into()), "{line}");
        assert_eq!(line["flags"][0], "upstream_aborted");
    }
    Ok(())
}

#[tokio::test]
async fn slow_callers_harm_nobody() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(OK)).await?;
    let config = plain(origin.address(), "[listeners.web.limits]\nhead_timeout = \"2s\"\n");
    let weir = weir(config).await?;
    let before = weir.resident()?;
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send("GET / HTTP/1.1\r\nHo").await?;
        slow.push(client);
    }
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    let grown = weir.resident()?.saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes for 500 slow callers");
    let mut last = slow.pop().unwrap();
    assert_eq!(last.response("GET").await?.status, 408);
    nothing_is_left_but_closed(&weir, slow).await
}

async fn nothing_is_left_but_closed(weir: &WeirProcess, clients: Vec<Http1>) -> Result<()> {
    drop(clients);
    tokio::time::timeout(Duration::from_secs(15), nothing_is_left(weir)).await?
}

#[tokio::test]
async fn an_origin_that_ended_its_script_saw_no_half_request() -> Result<()> {
    // The callers body never came whole, so what the origin got must not look whole either.
    let origin = ScriptedOrigin::start(Script::new().head().body()).await?;
    let weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    client.reset();
    let ending = origin.until("the end", |seen| seen[0].ending.clone()).await?;
    assert!(matches!(ending, Ending::Broken(_)), "{ending:?}");
    Ok(())
}
