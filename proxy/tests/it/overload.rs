//! More than the machine gives: descriptors run out, callers are slow by the thousand. Nothing dies, memory stays
//! bounded, whoever is in order is served, and all is well again when it is over.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify, task::JoinSet};
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

/// Bytes of each body that is held, and how much more than at rest the process may take.
const BODY: usize = 1 << 20;
const ROOM: u64 = 48 << 20;

/// What becomes of one caller of a flood, which brings a body that its endpoint never takes.
async fn flood(weir: &WeirProcess, body: &[u8]) -> Result<Option<TcpStream>> {
    let mut stream = TcpStream::connect(weir.address("web")?).await?;
    let head = format!("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await
    };
    // Whoever is shed meets a reset; whoever waits for the endpoint's window stays.
    match tokio::time::timeout(Duration::from_millis(200), sent).await {
        Ok(Err(_)) => Ok(None),
        Ok(Ok(())) | Err(_) => Ok(Some(stream)),
    }
}

#[tokio::test]
async fn memory_is_bounded_under_a_flood_and_all_is_well_when_it_is_over() -> Result<()> {
    const CALLERS: usize = 400;
    let held = ScriptedOrigin::start(Script::new().head().read(BODY).hang()).await?;
    let other = EchoOrigin::start("other").await?;
    let more = |overload: &str| {
        format!(
            "exchange_timeout = \"1h\"\nretry = {{ buffer = \"2MiB\" }}\n\
             [clusters.other]\nendpoints = [{{ address = \"{}\" }}]\n\
             [listeners.other]\naddress = \"127.0.0.1:0\"\ncluster = \"other\"\n{overload}",
            other.address()
        )
    };
    let weir = weir(plain(held.address(), &more(""))).await?;
    let mut idle = Http1::connect(weir.address("other")?).await?;
    assert_eq!(idle.get("/").await?.status, 200);
    let rest = weir.resident()?;
    let mark = rest + ROOM;
    weir.rewrite_config(&plain(held.address(), &more(&format!("[overload]\nmemory = \"{mark}B\"\n"))))?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 200);
    let known =
        async || (weir.admin_get("/overload").await.ok()?.json().ok()?["mark_bytes"] == mark).then_some(());
    eventually("the mark being known", known).await?;

    let body = vec![b'x'; BODY];
    let (mut crowd, mut most) = (Vec::new(), 0);
    for _ in 0..CALLERS {
        crowd.extend(flood(&weir, &body).await?);
        most = most.max(weir.resident()?);
        if weir.metric("weir_overloaded").await? == Some(1.0) {
            break;
        }
        // Ten looks a second: what comes between two of them is above the mark.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    weir.line_with("overload: too much memory").await?;
    for _ in 0..50 {
        crowd.extend(flood(&weir, &body).await?);
        most = most.max(weir.resident()?);
    }
    assert!(most < mark + 2 * ROOM, "{most} bytes, the mark is {mark}");
    let shown = weir.admin_get("/overload").await?.json()?;
    assert_eq!((&shown["overloaded"], &shown["times"]), (&true.into(), &1.into()));
    let refused = "weir_connections_refused_total{listener=\"web\",reason=\"overload\"}";
    assert!(weir.metric(refused).await? >= Some(1.0));
    // Whoever idles is told to go.
    within("its end", idle.closed()).await??;

    drop(crowd);
    weir.line_with("overload is over").await?;
    assert_eq!(weir.metric("weir_overloaded").await?, Some(0.0));
    assert_eq!(Http1::fetch(weir.address("other")?, "/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn who_asks_while_too_much_is_taken_is_told_so_at_once() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = ScriptedOrigin::start(Script::new().head().wait(&gate).send(answer).again()).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    eventually("a request under way", async || (origin.requests() == 1).then_some(())).await?;
    // Less than it takes at rest.
    weir.rewrite_config(&plain(origin.address(), "[overload]\nmemory = \"16MiB\"\n"))?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 200);
    weir.line_with("overload: too much memory").await?;
    assert!(Http1::fetch(weir.address("web")?, "/").await.is_err(), "a new connection is closed");
    client.send("GET /two HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    gate.notify_one();
    assert_eq!(client.response("GET").await?.status, 200, "what is under way goes on");
    let told = client.response("GET").await?;
    assert_eq!((told.status, told.field("retry-after"), told.closes()), (503, Some("1"), true));
    assert!(told.field("proxy-status").is_some_and(|status| status.contains("overload")), "{told:?}");
    let shed = async || weir.metric("weir_local_replies_total{reason=\"overload\"}").await.ok()?;
    eventually("it being counted", async || (shed().await >= Some(1.0)).then_some(())).await?;
    assert_eq!(origin.requests(), 1);
    gate.notify_one();
    // It ends with the setting, too.
    weir.rewrite_config(&plain(origin.address(), ""))?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 200);
    weir.line_with("overload is over").await?;
    served(&weir).await
}
