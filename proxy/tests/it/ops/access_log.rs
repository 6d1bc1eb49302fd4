//! The access log: where it goes, what stands in it, and what becomes of it when the file is moved.

use anyhow::{Context, Result};
use serde_json::Value;
use weir_testkit::{EchoOrigin, Http1, Signal, WeirProcess, eventually};

use crate::stage::{plain, weir};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Waits for the only line of a file.
async fn only_line(weir: &WeirProcess, file: &str) -> Result<Value> {
    let path = weir.path(file);
    let text = eventually("a line", async || {
        std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))
    })
    .await?;
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text.trim()).context(text)
}

async fn get(weir: &WeirProcess, path: &str, fields: &[(&str, &str)]) -> Result<Value> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.request("GET", path, fields, b"").await?.json()
}

#[tokio::test]
async fn a_line_tells_the_exchange_and_no_secret() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "[access_log]\nto = \"access.log\"\n")).await?;
    let fields = [
        ("host", "a.example"),
        ("x-request-id", "mine-1"),
        ("authorization", "Bearer s3cr3t"),
        ("traceparent", TRACE),
        ("tracestate", "vendor=1"),
    ];
    let seen = get(&weir, "/users?token=s3cr3t", &fields).await?;
    let sent = |name: &str| {
        let fields = seen["fields"].as_array().into_iter().flatten();
        fields.filter(|field| field[0] == name).map(|field| field[1].clone()).collect::<Vec<_>>()
    };
    assert_eq!(sent("traceparent"), [TRACE]);
    assert_eq!(sent("tracestate"), ["vendor=1"]);
    assert_eq!(sent("x-request-id"), ["mine-1"]);

    let line = only_line(&weir, "access.log").await?;
    assert!(!line.to_string().contains("s3cr3t"), "{line}");
    let expected = serde_json::json!({
        "listener": "web", "peer": "127.0.0.1", "method": "GET", "authority": "a.example", "path": "/users",
        "status": 200, "cluster": "origin", "endpoint": origin.address().to_string(), "attempts": 1,
        "request_id": "mine-1", "trace_id": "0af7651916cd43dd8448eb211c80319c", "bytes_in": 0,
    });
    for (name, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(&line[name], value, "{name} in {line}");
    }
    for number in ["bytes_out", "duration_us", "upstream_us"] {
        assert!(line[number].as_u64().is_some_and(|number| number > 0), "{number} in {line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trace_that_is_none_goes_no_further() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "[access_log]\nto = \"access.log\"\n")).await?;
    let seen = get(&weir, "/", &[("traceparent", "00-0-0-00"), ("tracestate", "vendor=1")]).await?;
    assert!(!seen["fields"].to_string().contains("trace"), "{seen}");
    assert_eq!(only_line(&weir, "access.log").await?["trace_id"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn after_a_rotation_a_signal_opens_the_file_anew() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "[access_log]\nto = \"access.log\"\n")).await?;
    get(&weir, "/first", &[]).await?;
    only_line(&weir, "access.log").await?;
    std::fs::rename(weir.path("access.log"), weir.path("access.log.1"))?;
    weir.signal(Signal::HUP)?;
    let path = weir.path("access.log");
    eventually("the file being there again", async || path.exists().then_some(())).await?;
    get(&weir, "/second", &[]).await?;
    assert_eq!(only_line(&weir, "access.log").await?["path"], "/second");
    assert_eq!(only_line(&weir, "access.log.1").await?["path"], "/first");
    Ok(())
}

#[tokio::test]
async fn it_can_go_to_standard_output() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), "[access_log]\nto = \"stdout\"\n")).await?;
    get(&weir, "/", &[]).await?;
    // What was logged is written out before the process ends.
    weir.signal(Signal::TERM)?;
    assert!(weir.ended().await?.success());
    let lines = weir.stdout();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(serde_json::from_str::<Value>(&lines[0])?["status"], 200);
    Ok(())
}

#[tokio::test]
async fn lines_that_a_full_disk_refuses_are_counted_and_cost_no_request() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "[access_log]\nto = \"/dev/full\"\n")).await?;
    for _ in 0..5 {
        get(&weir, "/", &[]).await?;
    }
    eventually("the losses being counted", async || {
        (weir.metric("weir_access_log_dropped_total").await.ok()?? == 5.0).then_some(())
    })
    .await?;
    weir.line_with("the access log cannot be written").await?;
    Ok(())
}
