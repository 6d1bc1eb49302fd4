//! Attempts that are made again, and those that are not: seen from callers and from endpoints.

use std::net::SocketAddr;

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Http2, Response, Script, ScriptedOrigin, WeirProcess};

use super::{OK, count, endpoint, endpoints, logged, logging, reaches, reasons, settled};
use crate::stage::{plain, weir};

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nX-Why: busy\r\nContent-Length: 4\r\n\r\nbusy";
const RETRIES: &str = "weir_cluster_retries_total{cluster=\"origin\"}";

fn denied(reason: &str) -> String {
    format!("weir_cluster_retries_denied_total{{cluster=\"origin\",reason=\"{reason}\"}}")
}

fn retried(outcome: &str) -> String {
    format!("weir_cluster_retried_total{{cluster=\"origin\",outcome=\"{outcome}\"}}")
}

/// An origin whose first connection does this, and whose others answer well.
async fn at_first(script: Script) -> Result<ScriptedOrigin> {
    ScriptedOrigin::start_with(None, move |number| match number {
        0 => script.clone(),
        _ => Script::always(OK),
    })
    .await
}

/// Weir with an access log before two endpoints that take turns. `keys` are further keys of the cluster.
async fn turns(one: SocketAddr, other: SocketAddr, keys: &str) -> Result<WeirProcess> {
    let more = format!("balancer = \"round_robin\"\n{keys}\n[access_log]\nto = \"stdout\"\n");
    weir(endpoints(&[endpoint(one), endpoint(other)], &more)).await
}

async fn ask(weir: &WeirProcess, method: &str, body: &[u8]) -> Result<Response> {
    Http1::connect(weir.address("web")?).await?.request(method, "/", &[], body).await
}

#[tokio::test]
async fn a_busy_endpoint_is_passed_over_where_that_does_no_harm() -> Result<()> {
    for status in [502, 503, 504] {
        let busy = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        let busy = ScriptedOrigin::start(Script::always(busy)).await?;
        let good = EchoOrigin::start("good").await?;
        let weir = turns(busy.address(), good.address(), "").await?;
        for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
            assert_eq!(ask(&weir, method, b"").await?.status, 200, "{status} {method}");
        }
        reaches(&weir, &retried("succeeded"), busy.requests() as f64).await?;
        assert!(busy.requests() > 0);
        let posts = [ask(&weir, "POST", b"").await?.status, ask(&weir, "POST", b"").await?.status];
        assert!(posts.contains(&status) && posts.contains(&200), "{posts:?}");
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_last_answer_goes_to_the_caller_as_it_is() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(BUSY)).await?;
    let config = plain(origin.address(), "retries = 2\n[access_log]\nto = \"stdout\"\n");
    let weir = weir(config.replace("count = 2", "count = 1")).await?;
    let told = ask(&weir, "GET", b"").await?;
    assert_eq!((told.status, told.field("x-why"), told.text().as_str()), (503, Some("busy"), "busy"));
    assert_eq!(told.field("proxy-status"), None);
    assert_eq!(logged(&weir, 1).await?[0]["attempts"], 3);
    // The short answers that nobody saw were read, so that their connection served on.
    assert_eq!((origin.requests(), origin.seen().len()), (3, 1));
    reaches(&weir, &retried("failed"), 1.0).await?;
    reaches(&weir, &denied("used_up"), 1.0).await?;
    reaches(&weir, RETRIES, 2.0).await?;
    settled(&weir).await
}

#[tokio::test]
async fn other_statuses_are_answers_unless_configured() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(BUSY.replace("503", "500"))).await?;
    for (keys, attempts) in [("", 1), ("retry = { statuses = [500] }", 2), ("retry = { statuses = [] }", 1)] {
        let weir = logging(origin.address(), keys).await?;
        assert_eq!(ask(&weir, "GET", b"").await?.status, 500);
        assert_eq!(logged(&weir, 1).await?[0]["attempts"], attempts, "{keys}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_wants_to_be_left_alone_is() -> Result<()> {
    for (wish, attempts) in [("Retry-After: 0", 2), ("Retry-After: 3600", 1), ("Retry-After: tomorrow", 1)] {
        let busy = BUSY.replace("X-Why: busy", wish);
        let origin = ScriptedOrigin::start(Script::always(busy)).await?;
        let weir = logging(origin.address(), "").await?;
        assert_eq!(ask(&weir, "GET", b"").await?.status, 503);
        assert_eq!(logged(&weir, 1).await?[0]["attempts"], attempts, "{wish}");
        assert_eq!(count(&weir, &denied("time")).await?, f64::from(2 - attempts));
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_leaves_before_it_answers_is_replaced_where_that_does_no_harm() -> Result<()> {
    let silent = Script::new().head();
    for script in [silent.clone(), silent.clone().reset(), silent.send("HTTP/1.1 200 OK\r\nConte").reset()] {
        let origin = at_first(script.clone()).await?;
        let weir = logging(origin.address(), "").await?;
        assert_eq!(ask(&weir, "GET", b"").await?.status, 200);
        assert_eq!(logged(&weir, 1).await?[0]["attempts"], 2);
        let origin = at_first(script).await?;
        let weir = logging(origin.address(), "").await?;
        assert_eq!(ask(&weir, "POST", b"").await?.status, 502);
        assert_eq!(logged(&weir, 1).await?[0]["attempts"], 1);
    }
    Ok(())
}

const CHUNKED: &str = "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
    7\r\nin one \r\n8\r\nor other\r\n0\r\nx-checked: yes\r\n\r\n";

#[tokio::test]
async fn what_was_sent_of_a_body_is_sent_again() -> Result<()> {
    let body: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
    for script in [Script::new().head().body().reset(), Script::new().head().read(20).reset()] {
        let dying = ScriptedOrigin::start(script).await?;
        let good = EchoOrigin::start("good").await?;
        let weir = turns(dying.address(), good.address(), "").await?;
        let h2 = Http2::connect(weir.address("web")?).await?;
        for _ in 0..2 {
            let mut h1 = Http1::connect(weir.address("web")?).await?;
            let told = h1.request("PUT", "/echo", &[], &body).await?;
            assert!(told.status == 200 && told.body == body, "{} {}", told.status, told.body.len());
            h1.send(CHUNKED).await?;
            let report = h1.response("PUT").await?.json()?;
            assert_eq!(report["body"], "in one or other");
            assert_eq!(report["trailers"], serde_json::json!([["x-checked", "yes"]]));
            let told = h2.request("PUT", "/echo", &[], &body).await?;
            assert!(told.status == 200 && told.body == body, "{} {}", told.status, told.body.len());
        }
        assert!(dying.requests() > 0);
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_longer_than_what_is_kept_is_not_sent_again() -> Result<()> {
    let origin = at_first(Script::new().head().body().reset()).await?;
    let weir = logging(origin.address(), "retry = { buffer = \"8KiB\" }").await?;
    assert_eq!(ask(&weir, "PUT", &[b'x'; 9_000]).await?.status, 502);
    reaches(&weir, &denied("body"), 1.0).await?;
    assert_eq!(ask(&weir, "PUT", &[b'x'; 9_000]).await?.status, 200);
    assert_eq!(logged(&weir, 2).await?[0]["attempts"], 1);
    settled(&weir).await
}

#[tokio::test]
async fn an_attempt_has_a_time_of_its_own() -> Result<()> {
    let keys = "retry = { per_try_timeout = \"200ms\" }";
    let origin = at_first(Script::new().head().hang()).await?;
    let weir = logging(origin.address(), keys).await?;
    assert_eq!(ask(&weir, "GET", b"").await?.status, 200);
    assert_eq!(logged(&weir, 1).await?[0]["attempts"], 2);

    let origin = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let weir = logging(origin.address(), keys).await?;
    for (method, attempts) in [("GET", 2), ("POST", 1)] {
        let told = ask(&weir, method, b"").await?;
        assert_eq!(told.status, 504);
        assert!(told.field("proxy-status").is_some_and(|s| s.contains("error=http_response_timeout")));
        let weir_logged = logged(&weir, if method == "GET" { 1 } else { 2 }).await?;
        let line = &weir_logged[weir_logged.len() - 1];
        assert_eq!((&line["attempts"], &line["reason"]), (&attempts.into(), &"attempt_timeout".into()));
    }
    reasons(&weir, "attempt_timeout", 2.0).await?;
    settled(&weir).await
}

#[tokio::test]
async fn a_grpc_status_may_be_tried_again_whatever_the_method() -> Result<()> {
    let grpc = |status: u8| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: {status}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let fields = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    for (status, keys, attempts) in [
        (14, "", 2),
        (8, "", 1),
        (8, "retry = { grpc = [\"resource_exhausted\"] }", 2),
        (14, "retry = { grpc = [] }", 1),
    ] {
        let origin = at_first(Script::new().head().body().send(grpc(status))).await?;
        let weir = logging(origin.address(), keys).await?;
        let client = Http2::connect(weir.address("web")?).await?;
        let told = client.request("POST", "/a.B/C", &fields, b"\0\0\0\0\x02hi").await?;
        let passed = told.field("grpc-status").map(str::to_owned);
        assert_eq!(passed.is_some(), attempts == 1, "{status} {keys}: {told:?}");
        assert_eq!(logged(&weir, 1).await?[0]["attempts"], attempts, "{status} {keys}");
        settled(&weir).await?;
    }
    // What is no call does not become one by what answers it.
    let origin = at_first(Script::new().head().body().send(grpc(14))).await?;
    let weir = logging(origin.address(), "").await?;
    assert_eq!(ask(&weir, "POST", b"hi").await?.field("grpc-status"), Some("14"));
    Ok(())
}

#[tokio::test]
async fn what_has_begun_to_go_to_the_caller_is_never_begun_again() -> Result<()> {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let origin = at_first(Script::new().head().send(response).reset()).await?;
    let weir = logging(origin.address(), "retries = 5").await?;
    assert!(ask(&weir, "GET", b"").await.is_err());
    let line = logged(&weir, 1).await?.remove(0);
    assert_eq!((&line["attempts"], &line["reason"]), (&1.into(), &"upstream_aborted".into()));
    settled(&weir).await
}

#[tokio::test]
async fn a_budget_that_is_used_up_grants_nothing() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(BUSY)).await?;
    let keys = "retry = { budget_percent = 0, budget_per_second = 1 }";
    let weir = logging(origin.address(), keys).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..30 {
        assert_eq!(client.get("/").await?.status, 503);
    }
    // One a second, over ten seconds; a slow machine may have come to the next.
    let made = count(&weir, RETRIES).await?;
    assert!((10.0..=12.0).contains(&made), "{made}");
    reaches(&weir, &denied("budget"), 30.0 - made).await?;
    assert_eq!(origin.requests(), 30 + made as usize);
    Ok(())
}

#[tokio::test]
async fn no_attempt_is_made_that_has_no_time_left() -> Result<()> {
    let origin = ScriptedOrigin::start(
        Script::new()
            .head()
            .pause(std::time::Duration::from_millis(250))
            .send(BUSY.replace("X-Why: busy", "Retry-After: 1")),
    )
    .await?;
    let weir = logging(origin.address(), "exchange_timeout = \"1s\"").await?;
    let told = ask(&weir, "GET", b"").await?;
    assert_eq!((told.status, told.text().as_str()), (503, "busy"));
    reaches(&weir, &denied("time"), 1.0).await?;
    assert_eq!(logged(&weir, 1).await?[0]["attempts"], 1);
    Ok(())
}
