//! Time: what an exchange may take, and what a caller gets when it took longer.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{EchoOrigin, Http1, Http2, Script, ScriptedOrigin};

use super::{OK, count, endpoint, endpoints, logged, logging, reaches, reasons, settled};
use crate::stage::{plain, weir};

const FAILED: &str = "weir_cluster_attempts_total{cluster=\"origin\",result=\"failed\"}";

#[tokio::test]
async fn an_origin_that_does_not_answer_in_time_is_answered_for() -> Result<()> {
    for script in [
        Script::new().head().hang(),
        Script::new().head().send("HTTP/1.1 200 OK\r\nContent-").hang(),
        Script::new()
            .head()
            .drip("HTTP/1.1 200 OK\r\nx: ".to_owned() + &"y".repeat(2_000), Duration::from_millis(20)),
        Script::new().head().send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n").hang(),
    ] {
        let origin = ScriptedOrigin::start(script).await?;
        let weir = logging(origin.address(), "exchange_timeout = \"300ms\"").await?;
        let mut client = Http1::connect(weir.address("web")?).await?;
        let told = client.get("/").await?;
        assert_eq!(told.status, 504);
        let status = told.field("proxy-status").unwrap_or_default();
        assert!(status.starts_with("weir; error=http_response_timeout"), "{status}");
        reasons(&weir, "exchange_timeout", 1.0).await?;
        reaches(&weir, FAILED, 1.0).await?;
        let line = &logged(&weir, 1).await?[0];
        assert_eq!((&line["status"], &line["reason"]), (&504.into(), &"exchange_timeout".into()));
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn http2_callers_hear_of_it_as_well_and_keep_their_connection() -> Result<()> {
    let origin = ScriptedOrigin::start_with(None, |number| match number {
        0 => Script::new().head().hang(),
        _ => Script::always(OK),
    })
    .await?;
    let weir = logging(origin.address(), "exchange_timeout = \"300ms\"").await?;
    let client = Http2::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 504);
    assert_eq!(client.get("/").await?.status, 200);
    settled(&weir).await
}

#[tokio::test]
async fn a_route_has_a_time_of_its_own() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let routes = "[filters.routes]\nwasm = \"builtin:router\"\n\n\
        [[filters.routes.config.routes]]\nname = \"quick\"\ncluster = \"origin\"\ntimeout = \"200ms\"\n";
    let config = plain(origin.address(), &format!("exchange_timeout = \"1h\"\n{routes}"));
    let weir = weir(config.replace("cluster = \"origin\"\n\n[clusters", "chain = [\"routes\"]\n\n[clusters"))
        .await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 504);
    reaches(&weir, "weir_route_requests_total{route=\"quick\",code_class=\"5xx\"}", 1.0).await?;
    settled(&weir).await
}

#[tokio::test]
async fn an_upload_that_goes_on_is_not_late() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "exchange_timeout = \"500ms\"")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\n").await?;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("x").await?;
    }
    assert_eq!(client.response("POST").await?.json()?["body_length"], 8);
    Ok(())
}

/// Weir whose bodies may be silent for 300 ms.
async fn impatient(origin: &ScriptedOrigin) -> Result<weir_testkit::WeirProcess> {
    let more = "[access_log]\nto = \"stdout\"\n[listeners.web.limits]\nbody_timeout = \"300ms\"\n";
    weir(plain(origin.address(), more)).await
}

#[tokio::test]
async fn a_response_that_stops_is_cut_and_never_looks_whole() -> Result<()> {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let response = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n3\r\nabc\r\n");
        let origin = ScriptedOrigin::start(Script::new().head().send(response).hang()).await?;
        let weir = impatient(&origin).await?;
        let mut client = Http1::connect(weir.address("web")?).await?;
        let cut = client.get("/").await;
        assert!(cut.is_err(), "{cut:?}");
        let client = Http2::connect(weir.address("web")?).await?;
        let cut = client.get("/").await;
        assert!(cut.is_err(), "{cut:?}");
        reasons(&weir, "upstream_aborted", 2.0).await?;
        let lines = logged(&weir, 2).await?;
        assert!(lines.iter().all(|line| line["status"] == 200 && line["reason"] == "upstream_aborted"));
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_origin_that_does_not_take_the_request_in_is_late_not_the_caller() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::new().head().wait(&Arc::new(Notify::new()))).await?;
    let weir = impatient(&origin).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let mut sending = client.open("POST", "/", &[], false).await?;
    let sent = tokio::spawn(async move {
        // Far more than sockets hold. It ends with the stream.
        for _ in 0..1000 {
            sending.send(&[b'x'; 65_536], false).await?;
        }
        anyhow::Ok(sending)
    });
    let line = logged(&weir, 1).await?.remove(0);
    assert_eq!((&line["status"], &line["reason"]), (&504.into(), &"exchange_timeout".into()));
    sent.abort();
    settled(&weir).await
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_given_up_and_the_endpoint_not_blamed() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let more = "[access_log]\nto = \"stdout\"\n[listeners.web.limits]\nbody_timeout = \"300ms\"\n";
    let weir = weir(plain(origin.address(), more)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET /bytes/100000000 HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    assert_eq!(logged(&weir, 1).await?[0]["reason"], "write_timeout");
    assert_eq!(count(&weir, FAILED).await?, 0.0);
    settled(&weir).await
}

#[tokio::test]
async fn connecting_has_a_time_of_its_own() -> Result<()> {
    // A socket that never accepts, with its queue full: further connections wait for ever.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let full = socket.listen(1)?;
    let address = full.local_addr()?;
    let mut fillers = Vec::new();
    while let Ok(Ok(filler)) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        fillers.push(filler);
        assert!(fillers.len() < 100, "the queue never fills");
    }
    let weir = logging(address, "connect_timeout = \"100ms\"\nretries = 2").await?;
    let told = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!(told.status, 503);
    assert!(told.field("proxy-status").is_some_and(|s| s.contains("error=connection_timeout")));
    assert_eq!(logged(&weir, 1).await?[0]["attempts"], 3);
    reasons(&weir, "connect_timeout", 1.0).await?;
    let series = "weir_cluster_connect_failures_total{cluster=\"origin\",reason=\"timeout\"}";
    reaches(&weir, series, 3.0).await?;
    settled(&weir).await?;

    // With another endpoint, nobody notices.
    let good = EchoOrigin::start("good").await?;
    let both = endpoints(&[endpoint(address), endpoint(good.address())], "connect_timeout = \"100ms\"");
    let weir = crate::stage::weir(both).await?;
    for _ in 0..4 {
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_delay_on_one_exchange_does_not_touch_others() -> Result<()> {
    let slow = ScriptedOrigin::start_with(None, |number| match number {
        0 => Script::new().head().hang(),
        _ => Script::always(OK),
    })
    .await?;
    let weir = logging(slow.address(), "").await?;
    let mut waiting = Http1::connect(weir.address("web")?).await?;
    waiting.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    slow.until("a request", |_| (slow.requests() == 1).then_some(())).await?;
    for _ in 0..10 {
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    }
    drop(waiting);
    settled(&weir).await
}
