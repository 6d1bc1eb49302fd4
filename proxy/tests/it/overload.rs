//! More than the machine gives: descriptors run out, callers are slow by the thousand. Nothing dies, memory stays
//! bounded, whoever is in order is served, and all is well again when it is over.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};
use weir_testkit::{EchoOrigin, Http1, Launch, Script, ScriptedOrigin, WeirProcess, eventually, within};

use crate::stage::{WEIR, plain, weir};

/// A program that is Weir with so many descriptors.
fn with_descriptors(folder: &TempDir, most: u32) -> Result<PathBuf> {
    let path = folder.path().join("weir");
    std::fs::write(&path, format!("#!/bin/sh\nulimit -n {most}\nexec {WEIR} \"$@\"\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

async fn served(weir: &WeirProcess) -> Result<()> {
    let address = weir.address("web")?;
    let answered = eventually("an answer", async || {
        let answer = tokio::time::timeout(Duration::from_secs(5), Http1::fetch(address, "/")).await;
        (answer.ok()?.ok()?.status == 200).then_some(())
    });
    answered.await.with_context(|| weir.stderr().join("\n"))
}

#[tokio::test]
async fn accepting_pauses_when_descriptors_run_out_and_goes_on_when_there_are_some() -> Result<()> {
    let (folder, origin) = (tempfile::tempdir()?, EchoOrigin::start("one").await?);
    let weir = Launch::new(with_descriptors(&folder, 100)?, plain(origin.address(), "")).start().await?;
    for _ in 0..2 {
        let mut crowd = Vec::new();
        for _ in 0..200 {
            crowd.push(TcpStream::connect(weir.address("web")?).await?);
        }
        weir.line_with("accepting pauses").await?;
        drop(crowd);
        served(&weir).await?;
    }
    let series = "weir_connections_refused_total{listener=\"web\",reason=\"exhausted\"}";
    assert!(weir.metric(series).await? >= Some(1.0));
    Ok(())
}

#[tokio::test]
async fn endpoints_that_no_descriptor_is_left_for_cost_an_answer_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let more = "retries = 0\nexchange_timeout = \"2s\"\n[access_log]\nto = \"stdout\"\n";
    let weir = Launch::new(with_descriptors(&folder, 100)?, plain(origin.address(), more)).start().await?;
    let address = weir.address("web")?;
    let mut callers = JoinSet::new();
    for _ in 0..120 {
        callers.spawn(async move {
            let mut client = Http1::connect(address).await?;
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
            let answer = within("an answer", client.response("GET")).await??;
            anyhow::Ok(answer.status)
        });
    }
    let (mut unreachable, mut silent) = (0, 0);
    while let Some(status) = callers.join_next().await {
        match status?? {
            503 => unreachable += 1,
            504 => silent += 1,
            other => anyhow::bail!("{other}"),
        }
    }
    assert!(unreachable > 0 && silent > 0, "{unreachable} had no connection, {silent} no answer");
    weir.line_with("\"reason\":\"connect_failed\"").await?;
    let failures = "weir_cluster_connect_failures_total{cluster=\"origin\",reason=\"other\"}";
    assert!(weir.metric(failures).await? >= Some(1.0));
    Ok(())
}

/// Callers that begin a request and never end it.
async fn slow(weir: &WeirProcess, callers: usize, beginning: &str) -> Result<Vec<TcpStream>> {
    let address = weir.address("web")?;
    let mut slow = Vec::with_capacity(callers);
    for _ in 0..callers {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(beginning.as_bytes()).await?;
        slow.push(stream);
    }
    Ok(slow)
}

#[tokio::test]
async fn thousands_of_slow_heads_cost_little_memory_and_nobody_else_an_answer() -> Result<()> {
    const CALLERS: usize = 3_000;
    let origin = EchoOrigin::start("one").await?;
    let limits = "[listeners.web.limits]\nhead_timeout = \"20s\"\n";
    let weir = weir(plain(origin.address(), limits)).await?;
    served(&weir).await?;
    let before = weir.resident()?;
    let crowd = slow(&weir, CALLERS, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await?;
    let active = "weir_connections_active{listener=\"web\"}";
    let there = async || (weir.metric(active).await.ok()?? >= CALLERS as f64).then_some(());
    eventually("all of them", there).await?;
    served(&weir).await?;
    let each = weir.resident()?.saturating_sub(before) / CALLERS as u64;
    assert!(each < 32 * 1024, "{each} bytes for each slow head");
    drop(crowd);
    served(&weir).await?;
    Ok(())
}

#[tokio::test]
async fn slow_bodies_meet_the_limits_of_their_cluster_and_no_other() -> Result<()> {
    const CALLERS: usize = 400;
    let (origin, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let more = format!(
        "[clusters.origin.limits]\nrequests = 100\n\
         [clusters.other]\nendpoints = [{{ address = \"{}\" }}]\n\
         [listeners.other]\naddress = \"127.0.0.1:0\"\ncluster = \"other\"\n",
        other.address()
    );
    let weir = weir(plain(origin.address(), &more)).await?;
    let before = weir.resident()?;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nslow";
    let crowd = slow(&weir, CALLERS, head).await?;
    let hits = "weir_cluster_limit_hits_total{cluster=\"origin\",limit=\"requests\"}";
    let refused = async || (weir.metric(hits).await.ok()?? >= (CALLERS - 100) as f64).then_some(());
    eventually("the rest being refused", refused).await?;
    assert_eq!(weir.metric("weir_cluster_requests_active{cluster=\"origin\"}").await?, Some(100.0));
    assert_eq!(Http1::fetch(weir.address("other")?, "/").await?.status, 200);
    let each = weir.resident()?.saturating_sub(before) / CALLERS as u64;
    assert!(each < 128 * 1024, "{each} bytes for each slow body");
    drop(crowd);
    served(&weir).await
}
