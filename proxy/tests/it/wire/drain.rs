//! SIGTERM: no new connections, what is under way ends well, within the configured time, with exit status 0.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use tokio::{net::TcpStream, sync::Notify};
use weir_testkit::{
    Ca, EchoOrigin, Http1, Http2, Launch, RawH2, Script, ScriptedOrigin, Signal, Stream, WeirProcess,
    eventually,
};

use super::{LOGGED, all_logged, metric_is, with};
use crate::stage::{WEIR, plain, weir};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Waits until the listener is closed.
async fn closed(weir: &WeirProcess) -> Result<()> {
    let address = weir.address("web")?;
    eventually("the listener being closed", async || TcpStream::connect(address).await.err()).await?;
    Ok(())
}

#[tokio::test]
async fn an_exchange_under_way_is_finished_and_its_connection_closed() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let origin = ScriptedOrigin::start(Script::new().head().wait(&gate).send(OK).hang()).await?;
    let mut weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut idle = Http1::connect(weir.address("web")?).await?;
    let mut busy = Http1::connect(weir.address("web")?).await?;
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    weir.signal(Signal::TERM)?;
    closed(&weir).await?;
    idle.closed().await?;
    gate.notify_one();
    let told = busy.response("GET").await?;
    assert_eq!((told.text().as_str(), told.closes()), ("ok", true));
    busy.closed().await?;
    assert!(weir.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn http2_callers_are_told_to_go_away_and_keep_their_streams() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let origin = ScriptedOrigin::start(Script::new().head().wait(&gate).send(OK).hang()).await?;
    let mut weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut idle = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    let busy = Http2::connect(weir.address("web")?).await?;
    let call = busy.open("GET", "/", &[], true).await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    weir.signal(Signal::TERM)?;
    closed(&weir).await?;
    let goodbye = idle.outcome(1).await?;
    assert!(goodbye.is_some_and(|frame| frame.kind == 7 && frame.payload[4..8] == [0; 4]));
    gate.notify_one();
    assert_eq!(call.response().await?.text(), "ok");
    let lines = all_ended(&mut weir).await?;
    assert_eq!(lines, 1);
    Ok(())
}

#[tokio::test]
async fn who_does_not_confirm_a_goodbye_gets_another_that_says_what_was_served() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut caller = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    let head: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")];
    caller.headers(1, &head, true).await?;
    assert_eq!(caller.outcome(1).await?.map(|frame| frame.kind), Some(1));
    weir.signal(Signal::TERM)?;
    let mut goodbyes = Vec::new();
    // PING is never answered.
    while let Some(frame) = caller.frame().await? {
        if frame.kind == 7 {
            goodbyes.push(frame.payload);
        }
    }
    // The first one promises to serve whatever is on its way, the second one tells of stream 1; neither of an error.
    assert_eq!(goodbyes, [[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]]);
    assert_eq!(all_ended(&mut weir).await?, 1);
    Ok(())
}

async fn all_ended(weir: &mut WeirProcess) -> Result<usize> {
    ensure!(weir.ended().await?.success());
    Ok(weir.stdout().len())
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off_and_logged() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let mut weir =
        weir(plain(origin.address(), &format!("[drain]\ntimeout = \"300ms\"\n\n{LOGGED}"))).await?;
    let mut old = Http1::connect(weir.address("web")?).await?;
    old.send("GET /old HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    let new = Http2::connect(weir.address("web")?).await?;
    let call = new.open("GET", "/new", &[], true).await?;
    origin
        .until("both requests", |seen| {
            (seen.len() == 2 && seen.iter().all(|s| s.heads.len() == 1)).then_some(())
        })
        .await?;
    let lines = all_logged(&mut weir).await?;
    old.gone().await?;
    assert!(call.response().await.is_err());
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!((&line["status"], &line["reason"]), (&0.into(), &"draining".into()), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_comes_with_the_signal_is_still_served() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.1\r\nHo").await?;
    metric_is(&weir, "weir_connections_active{listener=\"web\"}", 1.0).await?;
    weir.signal(Signal::TERM)?;
    closed(&weir).await?;
    client.send("st: a\r\n\r\n").await?;
    let told = client.response("GET").await?;
    assert_eq!((told.status, told.closes()), (200, true));
    client.closed().await?;
    assert_eq!(all_ended(&mut weir).await?, 1);
    Ok(())
}

#[tokio::test]
async fn no_exchange_is_lost_or_doubled_in_the_log() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), LOGGED)).await?;
    let address = weir.address("web")?;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..16 {
        callers.spawn(async move {
            let mut client = Http1::connect(address).await?;
            for number in 0..50 {
                client.get(&format!("/{caller}/{number}")).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    let mut paths: Vec<_> =
        all_logged(&mut weir).await?.iter().map(|line| line["path"].to_string()).collect();
    assert_eq!(paths.len(), 800);
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 800);
    Ok(())
}

#[tokio::test]
async fn draining_waits_no_longer_than_its_last_connection() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), "[drain]\ntimeout = \"1h\"\n")).await?;
    let mut kept = Http1::connect(weir.address("web")?).await?;
    assert_eq!(kept.get("/").await?.status, 200);
    let _silent = Http1::connect(weir.address("web")?).await?;
    let other = Http2::connect(weir.address("web")?).await?;
    assert_eq!(other.get("/").await?.status, 200);
    weir.signal(Signal::TERM)?;
    kept.closed().await?;
    tokio::time::timeout(Duration::from_secs(60), weir.ended()).await??;
    Ok(())
}

#[tokio::test]
async fn whoever_waits_in_the_backlog_is_served() -> Result<()> {
    const CALLERS: usize = 100;
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), LOGGED)).await?;
    // A process that stands still accepts nobody; the system shakes hands for it.
    weir.signal(Signal::STOP)?;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        callers.push(client);
    }
    weir.signal(Signal::TERM)?;
    weir.signal(Signal::CONT)?;
    for client in &mut callers {
        // Some are accepted before the signal is heeded, and are not told to leave with their response.
        assert_eq!(client.response("GET").await?.status, 200);
    }
    assert_eq!(all_ended(&mut weir).await?, CALLERS);
    Ok(())
}

#[tokio::test]
async fn a_reload_that_is_stuck_keeps_nobody_from_draining() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut weir = weir(plain(origin.address(), LOGGED)).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    // A file that nobody writes to: whoever reads it waits.
    let config = weir.path("weir.toml");
    std::fs::remove_file(&config)?;
    ensure!(std::process::Command::new("mkfifo").arg(&config).status()?.success());
    weir.signal(Signal::HUP)?;
    let stuck = eventually("the reload", async || {
        use std::os::unix::fs::OpenOptionsExt;
        const O_NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        // Opens as soon as there is a reader.
        std::fs::OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&config).ok()
    })
    .await?;
    weir.signal(Signal::TERM)?;
    closed(&weir).await?;
    assert_eq!(all_ended(&mut weir).await?, 1);
    drop(stuck);
    Ok(())
}

#[tokio::test]
async fn silence_before_a_handshake_holds_no_drain() -> Result<()> {
    let (origin, ca) = (EchoOrigin::start("one").await?, Ca::new()?);
    let leaf = ca.leaf(&["one.example"])?;
    let tls = "tls = { certificates = [{ cert = \"{dir}/1.pem\", key = \"{dir}/1.key\" }] }";
    let limits = "[listeners.web.limits]\ntls_handshake_timeout = \"10m\"\nhead_timeout = \"10m\"\n\
                  [drain]\ntimeout = \"10m\"\n";
    let config = with(&plain(origin.address(), limits), "listeners.web", tls);
    let launch = Launch::new(WEIR, config).file("1.pem", leaf.pem()).file("1.key", leaf.key_pem());
    let mut weir = launch.start().await?;
    let mut silent = Http1::connect(weir.address("web")?).await?;
    // This one says what it will speak, and then nothing.
    let tls = ca.client(&["h2"], None)?;
    let promised = Stream::connect_tls(weir.address("web")?, tls, "one.example").await?;
    metric_is(&weir, "weir_connections_active{listener=\"web\"}", 2.0).await?;
    weir.signal(Signal::TERM)?;
    silent.gone().await?;
    assert!(weir.ended().await?.success());
    drop(promised);
    Ok(())
}
