//! What a cluster is spared: connections, exchanges under way, exchanges that wait.

use std::sync::Arc;

use anyhow::Result;
use tokio::{sync::Notify, task::JoinSet};
use weir_testkit::{Ending, Http1, Http2, Script, ScriptedOrigin, WeirProcess};

use super::{OK, count, logged, logging, reaches, reasons, settled};

const PENDING: &str = "weir_cluster_pending{cluster=\"origin\"}";
const ACTIVE: &str = "weir_cluster_requests_active{cluster=\"origin\"}";

/// An origin that answers each request when it is told to, and Weir with these limits before it.
async fn held(limits: &str) -> Result<(ScriptedOrigin, Arc<Notify>, WeirProcess)> {
    let gate = Arc::new(Notify::new());
    let script = Script::new().head().body().wait(&gate).send(OK).again();
    let origin = ScriptedOrigin::start(script).await?;
    let weir = logging(origin.address(), &format!("limits = {{ {limits} }}")).await?;
    Ok((origin, gate, weir))
}

/// A request that is under way at the origin.
async fn under_way(weir: &WeirProcess, origin: &ScriptedOrigin) -> Result<Http1> {
    let before = origin.requests();
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    origin.until("a request", |_| (origin.requests() > before).then_some(())).await?;
    Ok(client)
}

#[tokio::test]
async fn beyond_the_connections_exchanges_wait_their_turn() -> Result<()> {
    let (origin, gate, weir) = held("connections = 1").await?;
    let mut first = under_way(&weir, &origin).await?;
    let mut second = Http1::connect(weir.address("web")?).await?;
    second.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    reaches(&weir, PENDING, 1.0).await?;
    assert_eq!(origin.requests(), 1);
    reaches(&weir, "weir_cluster_connections_active{cluster=\"origin\"}", 1.0).await?;
    gate.notify_one();
    assert_eq!(first.response("GET").await?.status, 200);
    gate.notify_one();
    assert_eq!(second.response("GET").await?.status, 200);
    reaches(&weir, "weir_cluster_limit_hits_total{cluster=\"origin\",limit=\"connections\"}", 1.0).await?;
    settled(&weir).await
}

#[tokio::test]
async fn beyond_those_that_may_wait_exchanges_are_refused_at_once() -> Result<()> {
    let (origin, gate, weir) = held("connections = 1, pending = 1").await?;
    let mut first = under_way(&weir, &origin).await?;
    let mut second = Http1::connect(weir.address("web")?).await?;
    second.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    reaches(&weir, PENDING, 1.0).await?;
    let third = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!((third.status, third.field("retry-after")), (503, Some("1")));
    assert!(third.field("proxy-status").is_some_and(|s| s.contains("connection_limit_reached")));
    reasons(&weir, "pending_limit", 1.0).await?;
    reaches(&weir, "weir_cluster_limit_hits_total{cluster=\"origin\",limit=\"pending\"}", 1.0).await?;
    gate.notify_one();
    assert_eq!(first.response("GET").await?.status, 200);
    gate.notify_one();
    assert_eq!(second.response("GET").await?.status, 200);
    let failed = "weir_cluster_attempts_total{cluster=\"origin\",result=\"failed\"}";
    assert_eq!(count(&weir, failed).await?, 0.0, "a full queue is no fault of an endpoint");
    settled(&weir).await
}

#[tokio::test]
async fn a_queue_of_none_still_lets_connections_be_made() -> Result<()> {
    let (origin, gate, weir) = held("connections = 1, pending = 0").await?;
    let mut first = under_way(&weir, &origin).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 503);
    gate.notify_one();
    assert_eq!(first.response("GET").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn beyond_the_exchanges_under_way_others_are_refused() -> Result<()> {
    let (origin, gate, weir) = held("requests = 1").await?;
    let mut first = under_way(&weir, &origin).await?;
    let second = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!((second.status, second.field("retry-after")), (503, Some("1")));
    reasons(&weir, "request_limit", 1.0).await?;
    reaches(&weir, "weir_cluster_limit_hits_total{cluster=\"origin\",limit=\"requests\"}", 1.0).await?;
    gate.notify_one();
    assert_eq!(first.response("GET").await?.status, 200);
    reaches(&weir, ACTIVE, 0.0).await?;
    gate.notify_one();
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    settled(&weir).await
}

#[tokio::test]
async fn a_caller_who_leaves_the_queue_frees_its_place() -> Result<()> {
    let (origin, gate, weir) = held("connections = 1, pending = 1").await?;
    let mut first = under_way(&weir, &origin).await?;
    for leaving in ["finish", "reset"] {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
        reaches(&weir, PENDING, 1.0).await?;
        match leaving {
            "reset" => client.reset(),
            _ => drop(client),
        }
        reaches(&weir, PENDING, 0.0).await?;
    }
    let client = Http2::connect(weir.address("web")?).await?;
    let mut stream = client.open("GET", "/", &[], true).await?;
    reaches(&weir, PENDING, 1.0).await?;
    stream.body.send_reset(h2::Reason::CANCEL);
    reaches(&weir, PENDING, 0.0).await?;
    reasons(&weir, "downstream_aborted", 3.0).await?;
    gate.notify_one();
    assert_eq!(first.response("GET").await?.status, 200);
    assert_eq!(origin.requests(), 1, "nobody asked for those who left");
    assert_eq!(logged(&weir, 4).await?.len(), 4);
    settled(&weir).await
}

#[tokio::test]
async fn a_caller_who_leaves_is_not_worked_for_any_longer() -> Result<()> {
    let (origin, _gate, weir) = held("connections = 1").await?;
    drop(under_way(&weir, &origin).await?);
    origin
        .until("the connection ending", |seen| {
            seen[0].ending.as_ref().filter(|ending| **ending != Ending::Scripted).cloned()
        })
        .await
        .ok();
    settled(&weir).await?;
    reaches(&weir, "weir_cluster_connections_active{cluster=\"origin\"}", 0.0).await?;
    reasons(&weir, "downstream_aborted", 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn waiting_counts_against_the_exchanges_time() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let origin = ScriptedOrigin::start(Script::new().head().wait(&gate).send(OK).again()).await?;
    let keys = "limits = { connections = 1 }\nexchange_timeout = \"400ms\"";
    let weir = logging(origin.address(), keys).await?;
    // The body that does not end keeps the first exchange from being late.
    let mut first = Http1::connect(weir.address("web")?).await?;
    first.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\na").await?;
    origin.until("a request", |_| (origin.requests() == 1).then_some(())).await?;
    let second = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!(second.status, 504);
    reasons(&weir, "exchange_timeout", 1.0).await?;
    let failed = "weir_cluster_attempts_total{cluster=\"origin\",result=\"failed\"}";
    assert_eq!(count(&weir, failed).await?, 0.0);
    drop(first);
    settled(&weir).await
}

#[tokio::test]
async fn an_idle_connection_of_one_worker_does_not_keep_the_others_from_theirs() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(OK)).await?;
    let config = crate::stage::plain(origin.address(), "limits = { connections = 1 }");
    let weir = crate::stage::weir(config.replace("count = 2", "count = 4")).await?;
    let address = weir.address("web")?;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(async move {
            let mut client = Http1::connect(address).await?;
            for _ in 0..3 {
                let told = client.get("/").await?;
                anyhow::ensure!(told.status == 200, "{}: {}", told.status, told.text());
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    settled(&weir).await
}
