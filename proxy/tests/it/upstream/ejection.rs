//! Endpoints whose answers are bad: out, and back through one request.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use serde_json::Value;
use weir_testkit::{EchoOrigin, Http1, Script, ScriptedOrigin, WeirProcess, eventually};

use super::{Nobody, OK, count, endpoint, endpoints, reaches};
use crate::stage::weir;

const OUT: &str = "weir_cluster_endpoints_out{cluster=\"origin\"}";
const RETURNS: &str = "weir_cluster_returns_total{cluster=\"origin\"}";

fn ejections(reason: &str) -> String {
    format!("weir_cluster_ejections_total{{cluster=\"origin\",reason=\"{reason}\"}}")
}

/// Weir before endpoints that take turns, whose failures reach the caller.
async fn turns(all: &[SocketAddr], keys: &str) -> Result<WeirProcess> {
    let list: Vec<_> = all.iter().map(|address| endpoint(*address)).collect();
    weir(endpoints(&list, &format!("balancer = \"round_robin\"\nretries = 0\n{keys}\n"))).await
}

async fn statuses(weir: &WeirProcess, path: &str, number: usize) -> Result<Vec<u16>> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    let mut all = Vec::new();
    for _ in 0..number {
        all.push(client.get(path).await?.status);
    }
    Ok(all)
}

async fn health(weir: &WeirProcess, index: usize) -> Result<Value> {
    Ok(weir.admin_get("/clusters").await?.json()?[0]["endpoints"][index]["health"].clone())
}

#[tokio::test]
async fn five_failures_in_a_row_take_an_endpoint_out() -> Result<()> {
    let (bad, good) = (EchoOrigin::start("bad").await?, EchoOrigin::start("good").await?);
    bad.fail(true);
    let weir = turns(&[bad.address(), good.address()], "").await?;
    let told = statuses(&weir, "/", 60).await?;
    assert_eq!(told.iter().filter(|status| **status == 500).count(), 5, "{told:?}");
    assert_eq!((bad.requests(), good.requests()), (5, 55));
    reaches(&weir, &ejections("consecutive_failures"), 1.0).await?;
    reaches(&weir, OUT, 1.0).await?;
    let told = health(&weir, 0).await?;
    assert_eq!((&told["state"], &told["why"]), (&"ejected".into(), &"failures in a row".into()));
    let left = told["left_ms"].as_u64().unwrap_or_default();
    assert!(left > 1_000 && left <= 30_000, "{told}");
    assert_eq!(health(&weir, 1).await?["state"], "in");
    weir.line_with("an endpoint is ejected").await?;
    Ok(())
}

#[tokio::test]
async fn connections_that_fail_count_and_429_does_not() -> Result<()> {
    let good = EchoOrigin::start("good").await?;
    let nobody = Nobody::new()?;
    let weir = turns(&[nobody.address()?, good.address()], "").await?;
    let told = statuses(&weir, "/", 40).await?;
    assert_eq!(told.iter().filter(|status| **status == 503).count(), 5, "{told:?}");

    let other = EchoOrigin::start("other").await?;
    let weir = turns(&[other.address(), good.address()], "").await?;
    assert_eq!(statuses(&weir, "/status/429", 40).await?, [429; 40]);
    assert_eq!(other.requests(), 20);
    reaches(&weir, OUT, 0.0).await
}

#[tokio::test]
async fn what_breaks_off_in_its_bodies_is_taken_out_too() -> Result<()> {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let bad = ScriptedOrigin::start(Script::new().head().send(cut).reset()).await?;
    let good = EchoOrigin::start("good").await?;
    let weir = turns(&[bad.address(), good.address()], "").await?;
    let mut broken = 0;
    for _ in 0..40 {
        broken += usize::from(Http1::fetch(weir.address("web")?, "/").await.is_err());
    }
    assert_eq!((broken, good.requests()), (5, 35));
    reaches(&weir, &ejections("consecutive_failures"), 1.0).await
}

#[tokio::test]
async fn the_only_one_stays_and_of_few_one_goes() -> Result<()> {
    let bad = EchoOrigin::start("bad").await?;
    bad.fail(true);
    let weir = turns(&[bad.address()], "").await?;
    assert_eq!(statuses(&weir, "/", 20).await?, [500; 20]);
    reaches(&weir, OUT, 0.0).await?;
    assert!(count(&weir, "weir_cluster_ejections_spared_total{cluster=\"origin\"}").await? > 0.0);

    let other = EchoOrigin::start("other").await?;
    other.fail(true);
    let weir = turns(&[bad.address(), other.address()], "panic_percent = 0").await?;
    assert_eq!(statuses(&weir, "/", 40).await?, [500; 40]);
    reaches(&weir, OUT, 1.0).await
}

#[tokio::test]
async fn one_request_brings_an_endpoint_back_or_keeps_it_out() -> Result<()> {
    let (bad, good) = (EchoOrigin::start("bad").await?, EchoOrigin::start("good").await?);
    bad.fail(true);
    let weir = turns(&[bad.address(), good.address()], "ejection = { time = \"300ms\" }").await?;
    statuses(&weir, "/", 12).await?;
    reaches(&weir, OUT, 1.0).await?;
    let before = bad.requests();
    eventually("a probe", async || {
        statuses(&weir, "/", 5).await.ok()?;
        (bad.requests() > before).then_some(())
    })
    .await?;
    // It failed: one request, and out for longer.
    reaches(&weir, OUT, 1.0).await?;
    assert!(count(&weir, &ejections("probe")).await? >= 1.0);
    assert_eq!(count(&weir, RETURNS).await?, 0.0);

    bad.fail(false);
    eventually("its return", async || {
        statuses(&weir, "/", 5).await.ok()?;
        (weir.metric(RETURNS).await.ok()? == Some(1.0)).then_some(())
    })
    .await?;
    reaches(&weir, OUT, 0.0).await?;
    let (was, there) = (bad.requests(), good.requests());
    assert_eq!(statuses(&weir, "/", 20).await?, [200; 20]);
    assert_eq!((bad.requests() - was, good.requests() - there), (10, 10));
    assert_eq!(health(&weir, 0).await?["state"], "in");
    weir.line_with("an endpoint is back").await?;
    Ok(())
}

#[tokio::test]
async fn a_reload_forgets_nobody_who_is_out() -> Result<()> {
    let (bad, good) = (EchoOrigin::start("bad").await?, EchoOrigin::start("good").await?);
    bad.fail(true);
    let list = [bad.address(), good.address()].map(endpoint);
    let config = |timeout: &str| {
        let keys = format!("balancer = \"round_robin\"\nretries = 0\nexchange_timeout = \"{timeout}\"\n");
        endpoints(&list, &keys)
    };
    let weir = weir(config("15s")).await?;
    statuses(&weir, "/", 20).await?;
    assert_eq!(bad.requests(), 5);
    weir.rewrite_config(&config("16s"))?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 200);
    assert_eq!(statuses(&weir, "/", 20).await?, [200; 20]);
    assert_eq!(bad.requests(), 5);
    reaches(&weir, OUT, 1.0).await
}

#[tokio::test]
async fn ejection_can_be_turned_off() -> Result<()> {
    let (bad, good) = (EchoOrigin::start("bad").await?, EchoOrigin::start("good").await?);
    bad.fail(true);
    let weir = turns(&[bad.address(), good.address()], "ejection = { consecutive_failures = 0 }").await?;
    statuses(&weir, "/", 40).await?;
    assert_eq!((bad.requests(), good.requests()), (20, 20));
    reaches(&weir, OUT, 0.0).await
}

#[tokio::test]
async fn a_caller_in_a_hurry_takes_no_endpoint_out() -> Result<()> {
    let hung =
        ScriptedOrigin::start(Script::new().head().pause(Duration::from_millis(50)).send(OK).again()).await?;
    let other = EchoOrigin::start("other").await?;
    let weir = turns(&[hung.address(), other.address()], "").await?;
    for _ in 0..20 {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.request("GET", "/", &[("x-request-timeout", "5ms")], b"").await?;
    }
    reaches(&weir, OUT, 0.0).await
}
