//! Bad input: each kind is answered with its status and its reason, counted once and logged once, and the
//! connection ends.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_testkit::{EchoOrigin, Http1, Http2, eventually};

use super::{LOGGED, all_logged, metric_is};
use crate::stage::{plain, weir};

const LIMITS: &str = "[listeners.web.limits]\nhead = \"2KiB\"\nfields = 20\nbody = \"1KiB\"\n\
                      head_timeout = \"500ms\"\nbody_timeout = \"500ms\"\n";

/// What is sent, the status of the answer, its error type (RFC 9209) and reason.
struct Case(String, u16, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let head = |line: &str, more: &str| format!("{line}\r\nHost: a\r\n{more}\r\n");
    let get = "GET / HTTP/1.1";
    let many = (0..30).fold(String::new(), |mut all, n| {
        let _ = write!(all, "x-{n}: 1\r\n");
        all
    });
    let bad = |sent: String| Case(sent, 400, "http_request_error", "bad_request");
    vec![
        bad("hello\r\n\r\n".into()),
        bad("GET / HTTP/1.1\r\n\r\n".into()),
        bad(head(get, "Host: b\r\n")),
        bad(head(get, "x : 1\r\n")),
        bad(head(get, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
        bad(head(get, "Content-Length: 1\r\nContent-Length: 1\r\n")),
        bad(head("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "zz\r\n"),
        Case(head(get, &format!("x: {}\r\n", "y".repeat(3000))), 431, "http_request_error", "head_too_large"),
        Case(head(get, &many), 431, "http_request_error", "head_too_large"),
        Case(
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(3000)),
            414,
            "http_request_error",
            "target_too_long",
        ),
        Case(
            head("POST / HTTP/1.1", "Transfer-Encoding: br, chunked\r\n"),
            501,
            "http_request_error",
            "unknown_coding",
        ),
        Case(head("GET / HTTP/3.7", ""), 505, "http_request_error", "unknown_version"),
        Case(
            head("POST / HTTP/1.1", "Content-Length: 1\r\nExpect: a-miracle\r\n"),
            417,
            "http_request_error",
            "expectation_failed",
        ),
        Case("GET / HTTP/1.1\r\nHos".into(), 408, "http_request_error", "head_timeout"),
        Case(
            head("POST / HTTP/1.1", "Content-Length: 9\r\n") + "abc",
            408,
            "http_request_error",
            "body_timeout",
        ),
        Case(
            head("POST / HTTP/1.1", "Content-Length: 1025\r\nExpect: 100-continue\r\n"),
            413,
            "http_request_error",
            "body_too_large",
        ),
        Case(
            head("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "800\r\n" + &"x".repeat(2048),
            413,
            "http_request_error",
            "body_too_large",
        ),
        Case(
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n".into(),
            501,
            "http_request_denied",
            "not_implemented",
        ),
        Case(
            head(get, "Connection: upgrade\r\nUpgrade: other\r\n"),
            501,
            "http_request_denied",
            "not_implemented",
        ),
        Case(
            head(&format!("{} / HTTP/1.1", "M".repeat(100)), ""),
            501,
            "http_request_denied",
            "not_implemented",
        ),
    ]
}

#[tokio::test]
async fn bad_input_is_told_counted_and_logged_once_and_ends_the_connection() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    // One worker, so that the log has the order of the cases.
    let config = plain(origin.address(), &format!("{LIMITS}\n{LOGGED}")).replace("count = 2", "count = 1");
    let mut weir = weir(config).await?;
    let cases = cases();
    for Case(sent, status, kind, reason) in &cases {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send(sent).await?;
        let told = client.response("POST").await.with_context(|| sent.clone())?;
        assert_eq!(told.status, *status, "{sent}");
        let proxy_status = told.field("proxy-status").unwrap_or_default();
        assert!(
            proxy_status.starts_with(&format!("weir; error={kind}; details=\"{reason}")),
            "{proxy_status}"
        );
        assert!(told.closes(), "{sent}");
        client.closed().await.with_context(|| sent.clone())?;
    }
    for reason in cases.iter().map(|case| case.3) {
        let count = cases.iter().filter(|case| case.3 == reason).count();
        metric_is(&weir, &format!("weir_local_replies_total{{reason=\"{reason}\"}}"), count as f64).await?;
    }
    let lines = all_logged(&mut weir).await?;
    assert_eq!(lines.len(), cases.len());
    for (line, Case(sent, status, _, reason)) in lines.iter().zip(&cases) {
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&Value::from(*status), &Value::from(*reason)),
            "{sent}"
        );
    }
    // Only the bodies that broke later had reached the origin.
    assert!(origin.requests() <= 3, "{}", origin.requests());
    Ok(())
}

#[tokio::test]
async fn bad_input_over_http2_ends_its_stream_only() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), &format!("{LIMITS}\n{LOGGED}"))).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let large = "y".repeat(2500);
    let told = client.request("GET", "/", &[("x", large.as_str())], b"").await?;
    assert_eq!(told.status, 431);
    assert!(told.field("proxy-status").unwrap_or_default().contains("head_too_large"));
    let many: Vec<(String, &str)> = (0..30).map(|n| (format!("x-{n}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(client.request("GET", "/", &many, b"").await?.status, 431);
    assert_eq!(client.request("POST", "/", &[("content-length", "2000")], &[b'x'; 2000]).await?.status, 413);
    assert_eq!(client.request("POST", "/", &[], &[b'x'; 2000]).await?.status, 413);
    let mut slow = client.open("POST", "/", &[], false).await?;
    slow.send(b"abc", false).await?;
    assert_eq!(slow.response().await?.status, 408);
    assert_eq!(client.get("/").await?.status, 200);
    let lines = all_logged(&mut weir).await?;
    let reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str().unwrap_or("")).collect();
    let expected =
        ["head_too_large", "head_too_large", "body_too_large", "body_too_large", "body_timeout", ""];
    assert_eq!(reasons, expected);
    assert!(lines.iter().all(|line| line["protocol"] == "HTTP/2"));
    Ok(())
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_counted() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let config = plain(origin.address(), "[listeners.web.limits]\nconnections = 3\n");
    let weir = weir(config).await?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Http1::connect(weir.address("web")?).await?;
        assert_eq!(client.get("/").await?.status, 200);
        clients.push(client);
    }
    let mut refused = Http1::connect(weir.address("web")?).await?;
    refused.gone().await?;
    metric_is(&weir, "weir_connections_refused_total{listener=\"web\",reason=\"limit\"}", 1.0).await?;
    // A place that becomes free is taken.
    drop(clients.pop());
    eventually("a free place", async || {
        let mut client = Http1::connect(weir.address("web").ok()?).await.ok()?;
        client.get("/").await.ok()
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_follows_a_refused_message_is_not_read_as_a_request() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for first in [
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, other\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // Read again from where it broke, this chunk would have 17 bytes, and the body an end.
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n1 0123456789abcdef\r\n0\r\n\r\n",
    ] {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send(format!("{first}{smuggled}")).await?;
        let told = client.response("GET").await?;
        assert!(told.status >= 400 && told.closes(), "{first}: {}", told.status);
        client.closed().await?;
    }
    assert_eq!(origin.requests(), 0);
    Ok(())
}
