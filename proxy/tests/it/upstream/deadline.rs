//! How long callers wait: heeded, and passed on with what is left.

use std::time::Duration;

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Http1, Http2, Response, Script, ScriptedOrigin};

use super::{OK, count, logged, logging, reasons, settled};
use crate::stage::{plain, weir};

const FAILED: &str = "weir_cluster_attempts_total{cluster=\"origin\",result=\"failed\"}";

/// The field as the echoing origin got it.
fn told(response: &Response, name: &str) -> Result<Option<String>> {
    let report = response.json()?;
    let fields = report["fields"].as_array().context("fields")?;
    let value = fields.iter().find(|field| field[0] == name).and_then(|field| field[1].as_str());
    Ok(value.map(str::to_owned))
}

/// Milliseconds of `250ms`, or microseconds of `250000u` divided.
fn millis(text: &str) -> Result<u64> {
    if let Some(millis) = text.strip_suffix("ms") {
        return Ok(millis.parse()?);
    }
    Ok(text.strip_suffix('u').context(text.to_owned())?.parse::<u64>()? / 1_000)
}

#[tokio::test]
async fn what_is_left_goes_on_to_the_endpoint() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "exchange_timeout = \"10s\"")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    for (name, value, most) in [
        ("x-request-timeout", "5s", 5_000),
        ("x-request-timeout", "1h", 10_000),
        ("grpc-timeout", "5S", 5_000),
        ("grpc-timeout", "99999999H", 10_000),
    ] {
        let told = told(&client.request("GET", "/", &[(name, value)], b"").await?, name)?;
        let left = millis(&told.context("the field")?)?;
        assert!(left <= most && left > most - 4_000, "{value}: {left}");
    }
    // A word that is none is the endpoint's to judge, and nothing is said that nobody said.
    let odd = client.request("GET", "/", &[("x-request-timeout", "soon")], b"").await?;
    assert_eq!(told(&odd, "x-request-timeout")?.as_deref(), Some("soon"));
    assert_eq!(told(&client.get("/").await?, "x-request-timeout")?, None);
    Ok(())
}

#[tokio::test]
async fn a_caller_is_answered_when_it_stops_waiting_and_the_endpoint_is_not_blamed() -> Result<()> {
    for (name, value) in [("x-request-timeout", "200ms"), ("grpc-timeout", "200m")] {
        let origin = ScriptedOrigin::start(Script::new().head().hang()).await?;
        let weir = logging(origin.address(), "").await?;
        let mut client = Http1::connect(weir.address("web")?).await?;
        let told = client.request("GET", "/", &[(name, value)], b"").await?;
        assert_eq!(told.status, 504, "{name}");
        reasons(&weir, "caller_deadline", 1.0).await?;
        assert_eq!(logged(&weir, 1).await?[0]["attempts"], 1);
        settled(&weir).await?;
        assert_eq!(count(&weir, FAILED).await?, 0.0);
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_that_does_not_wait_costs_no_attempt() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(OK)).await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.request("GET", "/", &[("grpc-timeout", "0n")], b"").await?.status, 504);
    reasons(&weir, "caller_deadline", 1.0).await?;
    assert_eq!((origin.requests(), &logged(&weir, 1).await?[0]["attempts"]), (0, &0.into()));
    assert_eq!(client.get("/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_upload_does_not_outlast_the_caller_either() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\nX-Request-Timeout: 300ms\r\n\r\n";
    client.send(head).await?;
    for _ in 0..200 {
        if client.send("x").await.is_err()
            || count(&weir, "weir_requests_active{listener=\"web\"}").await? == 0.0
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    reasons(&weir, "caller_deadline", 1.0).await
}

#[tokio::test]
async fn each_attempt_is_told_what_is_left_for_it() -> Result<()> {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let slow = Script::new().head().pause(Duration::from_millis(100)).send(busy).again();
    let origin = ScriptedOrigin::start(slow).await?;
    let weir = logging(origin.address(), "retries = 1").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let told = client.request("GET", "/", &[("x-request-timeout", "5s")], b"").await?;
    assert_eq!(told.status, 503);
    let mut seen = Vec::new();
    for head in origin.seen().iter().flat_map(|seen| &seen.heads) {
        let value = head.all("x-request-timeout").next().context("the field")?;
        seen.push(millis(std::str::from_utf8(value)?)?);
    }
    assert!(seen.len() == 2 && seen[0] <= 5_000 && seen[1] <= seen[0] - 100, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_listener_may_heed_its_callers_or_not() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    for (mode, expected) in [("drop", None), ("pass", Some("1ms"))] {
        let keys = format!("request_timeouts = \"{mode}\"\ncluster = \"origin\"\n");
        let config = plain(origin.address(), "").replacen("cluster = \"origin\"\n", &keys, 1);
        let weir = weir(config).await?;
        let mut client = Http1::connect(weir.address("web")?).await?;
        let answer = client.request("GET", "/delay/20", &[("x-request-timeout", "1ms")], b"").await?;
        assert_eq!(answer.status, 200, "{mode}");
        assert_eq!(told(&answer, "x-request-timeout")?.as_deref(), expected, "{mode}");
    }
    Ok(())
}
