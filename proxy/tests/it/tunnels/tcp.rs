//! Raw TCP listeners: whatever is spoken, whoever speaks first.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use serde_json::Value;
use tokio::{io::AsyncWriteExt, sync::Notify, time::timeout};
use weir_testkit::{
    Ca, Http1, Launch, RawOrigin, Script, ScriptedOrigin, Signal, Stream, WeirProcess, Wire, eventually,
};

use super::LOGGED;
use crate::{
    stage::{WEIR, plain, weir},
    upstream::{Nobody, endpoint, endpoints, logged, reaches},
};

/// The configuration with its listener made one for TCP.
pub(super) fn tcp(config: String) -> String {
    config.replace("[listeners.web]\n", "[listeners.web]\nprotocol = \"tcp\"\n")
}

pub(super) async fn wire(weir: &WeirProcess) -> Result<Wire> {
    Ok(Wire::new(Stream::connect(weir.address("web")?).await?))
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_at_once() -> Result<()> {
    let origin = RawOrigin::echo(None, "220 mail.example ESMTP\r\n").await?;
    let weir = weir(tcp(plain(origin.address(), LOGGED))).await?;
    let mut caller = wire(&weir).await?;
    assert_eq!(caller.exactly(24).await?, b"220 mail.example ESMTP\r\n");
    caller.write(b"EHLO").await?;
    assert_eq!(caller.exactly(4).await?, b"EHLO");
    caller.finish().await?;
    assert_eq!(caller.to_end().await?, b"");
    let line = &logged(&weir, 1).await?[0];
    for (key, value) in [
        ("protocol", Value::from("TCP")),
        ("peer", "127.0.0.1".into()),
        ("cluster", "origin".into()),
        ("endpoint", origin.address().to_string().into()),
        ("attempts", 1.into()),
        ("bytes_in", 4.into()),
        ("bytes_out", 28.into()),
    ] {
        assert_eq!(line[key], value, "{key} of {line}");
    }
    for key in ["method", "path", "status", "request_id", "reason"] {
        assert_eq!(line[key], Value::Null, "{key} of {line}");
    }
    for (series, value) in [
        ("weir_tcp_connections_total{listener=\"web\",result=\"whole\"}", 1.0),
        ("weir_tcp_duration_seconds_count{listener=\"web\"}", 1.0),
        ("weir_received_bytes_total{listener=\"web\"}", 4.0),
        ("weir_cluster_tcp_received_bytes_total{cluster=\"origin\"}", 28.0),
        ("weir_cluster_connections_active{cluster=\"origin\"}", 0.0),
        ("weir_requests_total{listener=\"web\",code_class=\"none\"}", 0.0),
    ] {
        reaches(&weir, series, value).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_question_may_end_before_its_answer_begins() -> Result<()> {
    let origin = RawOrigin::start(None, |mut wire| async move {
        let asked = wire.to_end().await?;
        wire.write(&[b"you said: ".as_slice(), &asked].concat()).await?;
        wire.write(&vec![1; 5_000_000]).await?;
        wire.finish().await
    })
    .await?;
    let weir = weir(tcp(plain(origin.address(), ""))).await?;
    let mut caller = wire(&weir).await?;
    caller.write(&vec![2; 3_000_000]).await?;
    caller.finish().await?;
    let told = caller.to_end().await?;
    assert_eq!(told.len(), 10 + 3_000_000 + 5_000_000);
    assert!(told.starts_with(b"you said: \x02\x02") && told.ends_with(&[1; 1000]));
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_passed_over() -> Result<()> {
    let (origin, nobody) = (RawOrigin::echo(None, "hi").await?, Nobody::new()?);
    let list = [endpoint(nobody.address()?), endpoint(origin.address())];
    let weir = weir(tcp(endpoints(&list, "balancer = \"round_robin\"\n"))).await?;
    for _ in 0..4 {
        assert_eq!(wire(&weir).await?.exactly(2).await?, b"hi");
    }
    let failures =
        weir.metric("weir_cluster_connect_failures_total{cluster=\"origin\",reason=\"refused\"}").await?;
    assert!(failures.is_some_and(|failures| failures > 0.0), "{failures:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_to_reach_ends_the_connection_and_is_counted() -> Result<()> {
    let nobody = Nobody::new()?;
    let weir = weir(tcp(plain(nobody.address()?, LOGGED))).await?;
    // It may be gone before the caller is done with connecting.
    if let Ok(stream) = Stream::connect(weir.address("web")?).await {
        Http1::over(stream).gone().await?;
    }
    let line = &logged(&weir, 1).await?[0];
    assert_eq!((&line["reason"], &line["attempts"]), (&"connect_refused".into(), &2.into()), "{line}");
    reaches(&weir, "weir_tcp_connections_total{listener=\"web\",result=\"unconnected\"}", 1.0).await
}

#[tokio::test]
async fn a_reset_goes_through() -> Result<()> {
    for near in [true, false] {
        let gate = Arc::new(Notify::new());
        let script = Script::new().send("hi");
        let script = if near { script.hang() } else { script.wait(&gate).reset() };
        let origin = ScriptedOrigin::start(script).await?;
        let weir = weir(tcp(plain(origin.address(), LOGGED))).await?;
        let mut caller = wire(&weir).await?;
        caller.exactly(2).await?;
        if near {
            caller.into_stream().reset();
            let ending = origin.until("the end", |seen| seen.first()?.ending.clone()).await?;
            assert!(matches!(ending, weir_testkit::Ending::Broken(_)), "{ending:?}");
        } else {
            gate.notify_one();
            assert!(caller.to_end().await.is_err(), "an orderly end");
        }
        let line = &logged(&weir, 1).await?[0];
        let reason = if near { "downstream_aborted" } else { "upstream_aborted" };
        assert_eq!((&line["reason"], &line["flags"][0]), (&reason.into(), &reason.into()), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn silence_ends_it() -> Result<()> {
    let origin = RawOrigin::echo(None, "").await?;
    let limits = format!("[listeners.web.limits]\ntunnel_idle_timeout = \"300ms\"\n\n{LOGGED}");
    let weir = weir(tcp(plain(origin.address(), &limits))).await?;
    let mut caller = wire(&weir).await?;
    assert_eq!(caller.to_end().await?, b"");
    assert_eq!(logged(&weir, 1).await?[0]["reason"], "tunnel_idle");
    Ok(())
}

#[tokio::test]
async fn a_drain_waits_and_then_cuts() -> Result<()> {
    let origin = RawOrigin::echo(None, "").await?;
    let more = format!("[drain]\ntimeout = \"1s\"\n\n{LOGGED}");
    let mut weir = weir(tcp(plain(origin.address(), &more))).await?;
    let mut caller = wire(&weir).await?;
    caller.write(b"a").await?;
    caller.exactly(1).await?;
    weir.signal(Signal::TERM)?;
    caller.write(b"b").await?;
    assert_eq!(caller.exactly(1).await?, b"b");
    Http1::over(caller.into_stream()).gone().await?;
    assert!(weir.ended().await?.success());
    let line: Value = serde_json::from_str(&weir.stdout()[0])?;
    assert_eq!(line["reason"], "draining", "{line}");
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_slows_its_sender() -> Result<()> {
    let origin = RawOrigin::start(None, |wire| async move {
        let _kept = wire;
        std::future::pending().await
    })
    .await?;
    let weir = weir(tcp(plain(origin.address(), ""))).await?;
    let mut stream = Stream::connect(weir.address("web")?).await?;
    let before = weir.resident()?;
    let (chunk, mut sent) = (vec![7; 256 * 1024], 0usize);
    while let Ok(n) = timeout(Duration::from_millis(500), stream.write(&chunk)).await {
        sent += n?;
        anyhow::ensure!(sent < 256 << 20, "nobody read {sent} bytes, and still they were taken");
    }
    let grown = weir.resident()?.saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after {sent}");
    Ok(())
}

#[tokio::test]
async fn a_listener_bears_so_many_connections() -> Result<()> {
    let origin = RawOrigin::echo(None, "hi").await?;
    let weir = weir(tcp(plain(origin.address(), "[listeners.web.limits]\nconnections = 2\n"))).await?;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut caller = wire(&weir).await?;
        caller.exactly(2).await?;
        kept.push(caller);
    }
    // It may be gone before the caller is done with connecting.
    if let Ok(stream) = Stream::connect(weir.address("web")?).await {
        Http1::over(stream).gone().await?;
    }
    drop(kept.pop());
    eventually("room", async || wire(&weir).await.ok()?.exactly(2).await.ok()).await?;
    Ok(())
}

/// TLS ends at the listener, whatever application protocol the caller offers, and begins anew at the cluster.
#[tokio::test]
async fn tls_ends_and_begins() -> Result<()> {
    let ca = Ca::new()?;
    let leaf = ca.leaf(&["one.example", "origin.test"])?;
    let origin = RawOrigin::echo(Some(ca.server(&leaf, &[])?), "hi").await?;
    let tls = "tls = { ca = \"ca.pem\", server_name = \"origin.test\" }";
    let config = tcp(plain(origin.address(), tls)).replace(
        "[listeners.web]\n",
        "[listeners.web]\ntls = { certificates = [{ cert = \"1.pem\", key = \"1.key\" }] }\n",
    );
    let launch = Launch::new(WEIR, config).file("ca.pem", ca.pem());
    let weir = launch.file("1.pem", leaf.pem()).file("1.key", leaf.key_pem()).start().await?;
    for offered in [&["postgresql"][..], &["h2"], &[]] {
        let tls = ca.client(offered, None)?;
        let stream = Stream::connect_tls(weir.address("web")?, tls, "one.example").await?;
        assert_eq!(stream.alpn(), None);
        let mut caller = Wire::new(stream);
        assert_eq!(caller.exactly(2).await?, b"hi");
        let large: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let (mut read, mut write) = tokio::io::split(caller.into_stream());
        let sent = large.clone();
        let writing = tokio::spawn(async move {
            write.write_all(&sent).await?;
            write.shutdown().await
        });
        let mut back = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut back).await;
        writing.await??;
        assert!(back == large, "{} bytes came back", back.len());
    }
    Ok(())
}

#[tokio::test]
async fn callers_of_one_address_stay_with_one_endpoint_where_the_balancer_remembers() -> Result<()> {
    let mut origins = Vec::new();
    for _ in 0..4 {
        origins.push(RawOrigin::echo(None, "hi").await?);
    }
    let list: Vec<_> = origins.iter().map(|origin| endpoint(origin.address())).collect();
    let weir = weir(tcp(endpoints(&list, "balancer = \"maglev\"\n"))).await?;
    for _ in 0..8 {
        assert_eq!(wire(&weir).await?.exactly(2).await?, b"hi");
    }
    let used: Vec<_> = origins.iter().map(RawOrigin::connections).filter(|n| *n > 0).collect();
    assert_eq!(used, [8]);
    Ok(())
}

#[tokio::test]
async fn unix_sockets_on_both_sides() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("origin.sock");
    let listener = tokio::net::UnixListener::bind(&path)?;
    let config = tcp(plain(([127, 0, 0, 1], 1).into(), ""))
        .replace(
            "endpoints = [{ address = \"127.0.0.1:1\" }]",
            &format!("endpoints = [{{ address = \"unix:{}\" }}]", path.display()),
        )
        .replace(
            "protocol = \"tcp\"\naddress = \"127.0.0.1:0\"",
            "protocol = \"tcp\"\naddress = \"unix:{dir}/web.sock\"",
        );
    let weir = Launch::new(WEIR, config).start().await?;
    let mut caller = Wire::new(Stream::connect_unix(&weir.path("web.sock")).await?);
    let (far, _) = weir_testkit::within("the connection", listener.accept()).await??;
    let mut far = Wire::new(Stream::Unix(far));
    far.write(b"hi").await?;
    assert_eq!(caller.exactly(2).await?, b"hi");
    caller.write(b"there").await?;
    assert_eq!(far.exactly(5).await?, b"there");
    Ok(())
}
