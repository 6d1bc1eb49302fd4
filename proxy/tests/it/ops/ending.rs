//! How a process that is asked to end tells that it does.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::Notify;
use weir_testkit::{Http1, Script, ScriptedOrigin, Signal, Stream, WeirProcess, eventually};

use crate::stage::{plain, weir};

/// Weir with an exchange under way that ends when the gate is opened.
async fn busy() -> Result<(WeirProcess, ScriptedOrigin, Http1, Arc<Notify>)> {
    let gate = Arc::new(Notify::new());
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let origin = ScriptedOrigin::start(Script::new().head().wait(&gate).send(answer)).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await?;
    origin.until("a request", |seen| (!seen.is_empty() && !seen[0].heads.is_empty()).then_some(())).await?;
    Ok((weir, origin, client, gate))
}

async fn not_ready(weir: &WeirProcess) -> Result<()> {
    let draining = eventually("not being ready", async || {
        (weir.admin_get("/ready").await.ok()?.status == 503).then_some(())
    });
    draining.await
}

#[tokio::test]
async fn while_it_drains_it_is_healthy_but_not_ready() -> Result<()> {
    let (mut weir, _origin, mut client, gate) = busy().await?;
    let told = weir.admin_post("/drain", b"").await?;
    assert_eq!((told.status, told.json()?["result"].as_str()), (202, Some("draining")));
    not_ready(&weir).await?;
    assert_eq!(weir.admin_get("/health").await?.status, 200);
    let (status, told) = super::reloaded(&weir).await?;
    assert_eq!((status, told["problems"][0].as_str()), (409, Some("the proxy is draining")));
    // New callers are told at once.
    let web = weir.address("web")?;
    eventually("new connections being refused", async || Stream::connect(web).await.is_err().then_some(()))
        .await?;

    gate.notify_one();
    assert_eq!(client.response("GET").await?.text(), "ok");
    assert!(weir.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_second_signal_ends_it_at_once() -> Result<()> {
    let (mut weir, _origin, mut client, _gate) = busy().await?;
    weir.signal(Signal::TERM)?;
    not_ready(&weir).await?;
    weir.signal(Signal::TERM)?;
    assert!(weir.ended().await?.success());
    client.gone().await.context("the exchange is cut off")
}
