//! Hedging: a second endpoint is asked when the first is slow, and the first good answer is taken.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{
    EchoOptions, EchoOrigin, EchoProtocol, Http1, Http2, Script, ScriptedOrigin, WeirProcess,
};

use super::{OK, count, endpoint, endpoints, logged, reaches, settled};
use crate::stage::weir;

const ATTEMPTS: &str = "weir_cluster_attempts_total{cluster=\"origin\",result=\"answered\"}";

fn hedges(outcome: &str) -> String {
    format!("weir_cluster_hedges_total{{cluster=\"origin\",outcome=\"{outcome}\"}}")
}

/// Weir before endpoints that take turns, the second of which is asked after 50 ms.
async fn hedging(all: &[SocketAddr], keys: &str) -> Result<WeirProcess> {
    let list: Vec<_> = all.iter().map(|address| endpoint(*address)).collect();
    let keys = format!(
        "balancer = \"round_robin\"\nhedge = {{ after = \"50ms\" }}\n{keys}\n[access_log]\nto = \"stdout\"\n"
    );
    weir(endpoints(&list, &keys)).await
}

#[tokio::test]
async fn a_quick_answer_is_asked_for_once() -> Result<()> {
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let list = [endpoint(one.address()), endpoint(other.address())];
    let weir = weir(endpoints(&list, "balancer = \"round_robin\"\nhedge = { after = \"30s\" }")).await?;
    let mut h1 = Http1::connect(weir.address("web")?).await?;
    let h2 = Http2::connect(weir.address("web")?).await?;
    for _ in 0..10 {
        for told in [h1.get("/").await?, h2.get("/").await?] {
            assert_eq!(told.status, 200);
        }
        assert_eq!(h1.get("/bytes/300000").await?.body.len(), 300_000);
        h1.wire().forget();
        assert_eq!(h1.request("HEAD", "/", &[], b"").await?.status, 200);
    }
    assert_eq!(one.requests() + other.requests(), 40);
    // Connections are kept as ever: one at the most for each worker, endpoint and exchange at a time.
    assert!(one.connections() + other.connections() <= 8);
    reaches(&weir, ATTEMPTS, 40.0).await?;
    settled(&weir).await
}

#[tokio::test]
async fn a_slow_endpoint_is_overtaken() -> Result<()> {
    let hung = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let quick = EchoOrigin::start("quick").await?;
    let weir = hedging(&[hung.address(), quick.address()], "").await?;
    for number in 1..=6 {
        let told = Http1::fetch(weir.address("web")?, "/").await?;
        assert_eq!((told.status, told.field("x-origin")), (200, Some("quick")));
        logged(&weir, number).await?;
    }
    assert_eq!(quick.requests(), 6);
    let asked = hung.requests();
    assert!(asked >= 2, "{asked}");
    // Whoever lost is left alone: the connection is closed, and nobody is blamed.
    hung.until("the connections ending", |seen| seen.iter().all(|one| one.ending.is_some()).then_some(()))
        .await?;
    reaches(&weir, &hedges("won"), asked as f64).await?;
    let failed = "weir_cluster_attempts_total{cluster=\"origin\",result=\"failed\"}";
    assert_eq!(count(&weir, failed).await?, 0.0);
    settled(&weir).await
}

#[tokio::test]
async fn streams_that_lose_are_reset_and_their_connection_serves_on() -> Result<()> {
    let options = |name: &str| EchoOptions {
        name: name.to_owned(),
        protocol: EchoProtocol::H2,
        ..EchoOptions::default()
    };
    let one = EchoOrigin::start_with(options("one")).await?;
    let other = EchoOrigin::start_with(options("other")).await?;
    let weir = hedging(&[one.address(), other.address()], "protocol = \"h2\"").await?;
    let client = Http2::connect(weir.address("web")?).await?;
    for _ in 0..4 {
        assert_eq!(client.get("/delay/300").await?.status, 200);
    }
    assert_eq!((one.requests(), other.requests()), (4, 4));
    assert!(one.connections() <= 2 && other.connections() <= 2);
    settled(&weir).await
}

#[tokio::test]
async fn a_bad_answer_does_not_win_while_a_good_one_may_come() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let slow = ScriptedOrigin::start(Script::new().head().wait(&gate).send(OK)).await?;
    let bad = ScriptedOrigin::start(Script::always(busy)).await?;
    let weir = hedging(&[slow.address(), bad.address()], "retries = 0").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    slow.until("the first", |_| (slow.requests() == 1 || bad.requests() == 1).then_some(())).await?;
    if slow.requests() == 0 {
        // It was the other one's turn, which answers at once: that is the answer.
        assert_eq!(client.response("GET").await?.status, 503);
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    }
    bad.until("the second", |_| (bad.requests() >= 1 && slow.requests() == 1).then_some(())).await?;
    gate.notify_one();
    assert_eq!(client.response("GET").await?.status, 200);
    settled(&weir).await
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_not_hedged() -> Result<()> {
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let weir = hedging(&[one.address(), other.address()], "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for (method, body) in [("POST", ""), ("PUT", "streamed")] {
        assert_eq!(client.request(method, "/delay/200", &[], body.as_bytes()).await?.status, 200, "{method}");
    }
    assert_eq!(one.requests() + other.requests(), 2);
    Ok(())
}

#[tokio::test]
async fn the_budget_bounds_hedges_too() -> Result<()> {
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let none = "retry = { budget_percent = 0, budget_per_second = 0 }";
    let weir = hedging(&[one.address(), other.address()], none).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/delay/200").await?.status, 200);
    assert_eq!(one.requests() + other.requests(), 1);
    reaches(&weir, "weir_cluster_retries_denied_total{cluster=\"origin\",reason=\"budget\"}", 1.0).await
}

#[tokio::test]
async fn when_nobody_answers_the_time_of_the_exchange_holds() -> Result<()> {
    let hung = [
        ScriptedOrigin::start(Script::new().head().hang()).await?,
        ScriptedOrigin::start(Script::new().head().hang()).await?,
    ];
    let weir = hedging(&[hung[0].address(), hung[1].address()], "exchange_timeout = \"500ms\"").await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 504);
    let line = logged(&weir, 1).await?.remove(0);
    assert_eq!((&line["attempts"], &line["reason"]), (&2.into(), &"exchange_timeout".into()));
    settled(&weir).await
}
