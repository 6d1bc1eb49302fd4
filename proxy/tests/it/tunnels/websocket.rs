//! WebSockets over HTTP/1.1 (RFC 6455), byte by byte.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{io::AsyncWriteExt, sync::Notify, time::timeout};
use weir_testkit::{
    Ca, EchoOrigin, Http1, Launch, RawOrigin, Script, ScriptedOrigin, Signal, WeirProcess, eventually,
};

use super::{AGREE, ASK, LOGGED, frame, websocket_echo};
use crate::{
    stage::{WEIR, plain, weir},
    upstream::{logged, reaches},
};

/// Asks, and checks that the endpoint has agreed.
async fn asked(weir: &WeirProcess) -> Result<Http1> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(ASK).await?;
    agreed(&mut client).await?;
    Ok(client)
}

async fn agreed(client: &mut Http1) -> Result<()> {
    let head = client.wire().head().await?.context("no answer")?;
    assert_eq!(head.start, "HTTP/1.1 101 Switching Protocols");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
    ] {
        assert_eq!(head.all(name).collect::<Vec<_>>(), [value.as_bytes()], "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn frames_pass_both_ways_large_and_fragmented() -> Result<()> {
    let origin = websocket_echo().await?;
    let weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut client = asked(&weir).await?;
    let fragments = [frame(1, false, b"Hel"), frame(9, true, b"ping"), frame(0, true, b"lo")].concat();
    let frames = [frame(1, true, b"hello"), fragments, frame(2, true, &[42; 300_000]), frame(2, true, &[])];
    let mut sent = 0;
    for frame in &frames {
        client.send(frame).await?;
        assert_eq!(client.wire().exactly(frame.len()).await?, *frame);
        sent += frame.len();
    }
    client.send(frame(8, true, &[3, 232])).await?;
    client.wire().exactly(8).await?;
    client.finish().await?;
    client.closed().await?;
    let line = &logged(&weir, 1).await?[0];
    assert_eq!((&line["status"], &line["flags"]), (&101.into(), &serde_json::json!(["upgraded"])), "{line}");
    let bytes = serde_json::Value::from(sent + 8);
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&bytes, &bytes), "{line}");
    reaches(&weir, "weir_requests_total{listener=\"web\",code_class=\"1xx\"}", 1.0).await?;
    reaches(&weir, "weir_cluster_connections_active{cluster=\"origin\"}", 0.0).await
}

/// What a client sends before it is answered is the tunnel's.
#[tokio::test]
async fn impatient_clients_lose_nothing() -> Result<()> {
    let origin = websocket_echo().await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let early = frame(1, true, b"early");
    client.send([ASK.as_bytes(), &early].concat()).await?;
    agreed(&mut client).await?;
    assert_eq!(client.wire().exactly(early.len()).await?, early);
    Ok(())
}

/// A tunnel is one endpoint's, however slow: two of them could not be joined.
#[tokio::test]
async fn upgrades_are_not_hedged() -> Result<()> {
    let origin = websocket_echo().await?;
    let weir = weir(plain(origin.address(), "hedge = { after = \"1ms\", most = 1 }")).await?;
    for _ in 0..20 {
        let mut client = asked(&weir).await?;
        let hello = frame(1, true, b"hello");
        client.send(&hello).await?;
        assert_eq!(client.wire().exactly(hello.len()).await?, hello);
    }
    reaches(&weir, "weir_cluster_attempts_total{cluster=\"origin\",result=\"answered\"}", 20.0).await
}

#[tokio::test]
async fn over_tls_on_both_sides() -> Result<()> {
    let ca = Ca::new()?;
    let leaf = ca.leaf(&["one.example", "origin.test"])?;
    let origin = RawOrigin::start(Some(ca.server(&leaf, &["h2", "http/1.1"])?), |mut wire| async move {
        let head = wire.head().await?.context("no request")?;
        super::agree(&mut wire, &head).await?;
        wire.echo().await
    })
    .await?;
    let tls = "tls = { ca = \"ca.pem\", server_name = \"origin.test\" }";
    let config = plain(origin.address(), tls).replace(
        "[listeners.web]\n",
        "[listeners.web]\ntls = { certificates = [{ cert = \"1.pem\", key = \"1.key\" }] }\n",
    );
    let launch = Launch::new(WEIR, config).file("ca.pem", ca.pem());
    let weir = launch.file("1.pem", leaf.pem()).file("1.key", leaf.key_pem()).start().await?;
    let mut client =
        Http1::connect_tls(weir.address("web")?, ca.client(&["http/1.1"], None)?, "one.example").await?;
    client.send(ASK).await?;
    agreed(&mut client).await?;
    let large = frame(2, true, &[1; 200_000]);
    client.send(&large).await?;
    assert_eq!(client.wire().exactly(large.len()).await?, large);
    client.finish().await?;
    client.closed().await
}

#[tokio::test]
async fn an_endpoint_may_end_its_side_and_hear_the_rest() -> Result<()> {
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = heard.clone();
    let origin = RawOrigin::start(None, move |mut wire| {
        let note = note.clone();
        async move {
            wire.head().await?;
            wire.write(AGREE.as_bytes()).await?;
            wire.write(b"goodbye").await?;
            wire.finish().await?;
            *note.lock().unwrap() = wire.to_end().await?;
            Ok(())
        }
    })
    .await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = asked(&weir).await?;
    assert_eq!(client.wire().to_end().await?, b"goodbye");
    client.send("one thing more").await?;
    client.finish().await?;
    eventually("the rest", async || (*heard.lock().unwrap() == b"one thing more").then_some(())).await
}

#[tokio::test]
async fn a_reset_goes_through() -> Result<()> {
    for near in [true, false] {
        let gate = Arc::new(Notify::new());
        let script = Script::new().head().send(AGREE);
        let script = if near { script.hang() } else { script.wait(&gate).reset() };
        let origin = ScriptedOrigin::start(script).await?;
        let weir = weir(plain(origin.address(), LOGGED)).await?;
        let mut client = asked(&weir).await?;
        if near {
            client.reset();
            origin.until("the end", |seen| seen.first()?.ending.clone()).await?;
        } else {
            gate.notify_one();
            assert!(client.closed().await.is_err(), "an orderly end");
        }
        let line = &logged(&weir, 1).await?[0];
        let reason = if near { "downstream_aborted" } else { "upstream_aborted" };
        assert_eq!(line["reason"], reason, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_heard() -> Result<()> {
    let answer = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    let origin = ScriptedOrigin::start(Script::always(answer)).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..2 {
        client.send(ASK).await?;
        let told = client.response("GET").await?;
        assert_eq!((told.status, told.text().as_str(), told.closes()), (403, "no", false));
    }
    assert_eq!(client.get("/").await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_cannot_choose_another_protocol() -> Result<()> {
    for wrong in ["Upgrade: other\r\n", "Upgrade: websocket, other\r\n", ""] {
        let answer = AGREE.replace("Upgrade: websocket\r\n", wrong);
        let origin = ScriptedOrigin::start(Script::new().head().send(answer)).await?;
        let weir = weir(plain(origin.address(), "")).await?;
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send(ASK).await?;
        assert_eq!(client.response("GET").await?.status, 502, "{wrong}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_listener_does_not_allow_is_refused() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let config = plain(origin.address(), "")
        .replace("[listeners.web]\n", "[listeners.web]\nupgrades = [\"one/2\", \"two\"]\n");
    let weir = weir(config).await?;
    let fetch = async |upgrade: &str, more: &str| -> Result<u16> {
        let mut client = Http1::connect(weir.address("web")?).await?;
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n";
        client.send(format!("{head}Upgrade: {upgrade}\r\n{more}")).await?;
        Ok(client.response("GET").await?.status)
    };
    assert_eq!(fetch("websocket", "\r\n").await?, 501);
    assert_eq!(fetch("two, websocket", "\r\n").await?, 501);
    assert_eq!(fetch("two", "Content-Length: 1\r\n\r\nx").await?, 501, "where would the body end?");
    assert_eq!(fetch("h2c", "\r\n").await?, 200, "nobody is asked to switch");
    // The origin, which has never heard of it, ignores it.
    assert_eq!(fetch("Two, one/2", "\r\n").await?, 200);
    Ok(())
}

#[tokio::test]
async fn silence_ends_a_tunnel_and_speech_keeps_it() -> Result<()> {
    let origin = websocket_echo().await?;
    let limits = format!("[listeners.web.limits]\ntunnel_idle_timeout = \"600ms\"\n\n{LOGGED}");
    let weir = weir(plain(origin.address(), &limits)).await?;
    let mut client = asked(&weir).await?;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send("x").await?;
        client.wire().exactly(1).await?;
    }
    client.closed().await?;
    let line = &logged(&weir, 1).await?[0];
    assert_eq!(line["reason"], "tunnel_idle", "{line}");
    Ok(())
}

#[tokio::test]
async fn a_drain_waits_for_tunnels_and_then_cuts_them() -> Result<()> {
    let origin = websocket_echo().await?;
    let mut weir = weir(plain(origin.address(), &format!("[drain]\ntimeout = \"1s\"\n\n{LOGGED}"))).await?;
    let mut client = asked(&weir).await?;
    weir.signal(Signal::TERM)?;
    client.send("still here").await?;
    assert_eq!(client.wire().exactly(10).await?, b"still here");
    client.gone().await?;
    assert!(weir.ended().await?.success());
    let line: serde_json::Value = serde_json::from_str(&weir.stdout()[0])?;
    assert_eq!((&line["status"], &line["reason"]), (&101.into(), &"draining".into()), "{line}");
    Ok(())
}

/// Neither side of a tunnel can make the proxy hold what the other does not take.
#[tokio::test]
async fn a_slow_reader_slows_its_sender() -> Result<()> {
    let origin = RawOrigin::start(None, |mut wire| async move {
        wire.head().await?;
        wire.write(AGREE.as_bytes()).await?;
        std::future::pending().await
    })
    .await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let client = asked(&weir).await?;
    let before = weir.resident()?;
    let mut stream = client.into_stream();
    let (chunk, mut sent) = (vec![7; 256 * 1024], 0usize);
    while let Ok(n) = timeout(Duration::from_millis(500), stream.write(&chunk)).await {
        sent += n?;
        anyhow::ensure!(sent < 256 << 20, "nobody read {sent} bytes, and still they were taken");
    }
    let grown = weir.resident()?.saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after {sent}");
    Ok(())
}
