//! The equipment itself: a test that trusts it must be able to.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::sync::Notify;
use weir_testkit::{
    Ca, EchoOptions, EchoOrigin, EchoProtocol, Ending, Faults, FaultyPipe, Framing, H2Answer, H2Origin,
    Http1, Http2, LoadPlan, RawH2, Script, ScriptedOrigin, Stream,
};

#[tokio::test]
async fn the_echo_origin_tells_what_it_was_asked() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut client = Http1::connect(origin.address()).await?;
    let response = client.request("POST", "/a/b?c=d", &[("X-Y", "z")], b"hello").await?;
    assert_eq!((response.status, response.framing), (200, Framing::Length));
    assert_eq!(response.field("x-origin"), Some("one"));
    let report = response.json()?;
    assert_eq!(report["method"], "POST");
    assert_eq!(report["path"], "/a/b?c=d");
    assert_eq!(report["body"], "hello");
    assert_eq!(report["body_length"], 5);
    assert_eq!(report["body_sha256"], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(report["fields"][1], serde_json::json!(["x-y", "z"]));
    let again = client.get("/status/503?field=retry-after:7").await?;
    assert_eq!((again.status, again.field("retry-after")), (503, Some("7")));
    assert_eq!(again.json()?["connection"], 0, "the connection is kept");
    origin.fail(true);
    assert_eq!(client.get("/").await?.status, 500);
    assert_eq!((origin.connections(), origin.requests()), (1, 3));
    Ok(())
}

#[tokio::test]
async fn the_echo_origin_streams_both_ways_with_trailers() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut client = Http1::connect(origin.address()).await?;
    let large = client.get("/bytes/1000000").await?;
    assert_eq!(large.body.len(), 1_000_000);
    client.send("GET /trailers HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await?;
    let trailers = client.response("GET").await?;
    assert_eq!((trailers.framing, trailers.text().as_str()), (Framing::Chunked, "body"));
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}3\r\nabc\r\n0\r\n\r\n")).await?;
    assert_eq!(client.response("POST").await?.text(), "abc");
    Ok(())
}

#[tokio::test]
async fn the_echo_origin_speaks_http2_and_grpc() -> Result<()> {
    let options = EchoOptions { name: "two".into(), protocol: EchoProtocol::H2, tls: None };
    let origin = EchoOrigin::start_with(options).await?;
    let client = Http2::connect(origin.address()).await?;
    let body = vec![7; 200_000];
    let report = client.request("POST", "/x", &[("a", "b")], &body).await?.json()?;
    assert_eq!((&report["version"], &report["body_length"]), (&"HTTP/2.0".into(), &200_000.into()));
    assert_eq!(report["authority"], "test");
    let grpc =
        client.request("POST", "/s/m", &[("content-type", "application/grpc")], b"\0\0\0\0\x01x").await?;
    assert_eq!((grpc.body.as_slice(), grpc.trailer("grpc-status")), (b"\0\0\0\0\x01x".as_slice(), Some("0")));
    let refused = client.request("POST", "/grpc-status/5", &[], b"").await?;
    assert_eq!((refused.field("grpc-status"), refused.body.len()), (Some("5"), 0));
    Ok(())
}

#[tokio::test]
async fn the_authority_issues_for_servers_and_clients() -> Result<()> {
    let ca = Ca::new()?;
    let (server, caller) = (ca.leaf(&["web.test"])?, ca.leaf(&["spiffe://test/caller"])?);
    let tls = ca.mutual_server(&server, &["h2", "http/1.1"])?;
    let options = EchoOptions { name: "tls".into(), protocol: EchoProtocol::Alpn, tls: Some(tls) };
    let origin = EchoOrigin::start_with(options).await?;
    let h2 = Http2::connect_tls(origin.address(), ca.client(&["h2"], Some(&caller))?, "web.test").await?;
    assert_eq!(h2.get("/").await?.status, 200);
    let stream =
        Stream::connect_tls(origin.address(), ca.client(&["http/1.1"], Some(&caller))?, "web.test").await?;
    assert_eq!(stream.peer_certificates()[0], server.der());
    assert_eq!(Http1::over(stream).get("/").await?.status, 200);
    let other = Http1::connect_tls(origin.address(), ca.client(&[], Some(&caller))?, "other.test").await;
    assert!(format!("{:#}", other.err().context("accepted")?).contains("not valid for name"));
    let strange = Ca::new()?.client(&[], Some(&caller))?;
    assert!(Http1::connect_tls(origin.address(), strange, "web.test").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_script_is_followed_and_what_it_saw_is_kept() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let script = Script::new().head().body().wait(&gate).send("HTTP/1.1 204 No Content\r\n\r\n").again();
    let origin = ScriptedOrigin::start(script).await?;
    let mut client = Http1::connect(origin.address()).await?;
    let request = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
    client.send(request).await?;
    origin.until("the request", |seen| (seen.first()?.bytes == request.as_bytes()).then_some(())).await?;
    gate.notify_one();
    assert_eq!(client.response("POST").await?.status, 204);
    assert_eq!(origin.seen()[0].heads[0].start, "POST /x HTTP/1.1");
    drop(client);
    let ending = origin.until("the end", |seen| seen[0].ending.clone()).await?;
    assert_eq!(ending, Ending::PeerLeft);
    assert_eq!(origin.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn a_script_can_reset_drip_and_differ_by_connection() -> Result<()> {
    let origin = ScriptedOrigin::start_with(None, |number| match number {
        0 => Script::new().head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").reset(),
        _ => Script::new().head().drip("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Duration::ZERO),
    })
    .await?;
    let broken = Http1::connect(origin.address()).await?.get("/").await;
    let text = format!("{:#}", broken.err().context("accepted")?);
    assert!(text.contains("reset") || text.contains("4 of 9"), "{text}");
    let mut second = Http1::connect(origin.address()).await?;
    assert_eq!(second.get("/").await?.text(), "ok");
    second.closed().await
}

#[tokio::test]
async fn the_client_refuses_what_a_proxy_must_not_send() -> Result<()> {
    let bad = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
    ];
    for text in bad {
        let origin = ScriptedOrigin::start(Script::new().head().send(text)).await?;
        let got = Http1::connect(origin.address()).await?.get("/").await;
        assert!(got.is_err(), "accepted {text:?} as {got:?}");
    }
    Ok(())
}

#[tokio::test]
async fn pipelined_answers_are_read_one_by_one() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let mut client = Http1::connect(origin.address()).await?;
    let one = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(one("/1") + &one("/2") + &one("/3")).await?;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.response("GET").await?.json()?["path"], path);
    }
    Ok(())
}

#[tokio::test]
async fn an_http2_origin_does_as_told() -> Result<()> {
    let origin = H2Origin::start(None, |number, head| match (number, head.uri.path()) {
        (_, "/reset") => H2Answer::Reset(h2::Reason::REFUSED_STREAM),
        (_, "/half") => H2Answer::ResetAfter(b"half".to_vec(), h2::Reason::INTERNAL_ERROR),
        (_, "/last") => H2Answer::GoAway,
        (_, "/abort") => H2Answer::Abort(h2::Reason::ENHANCE_YOUR_CALM),
        (number, _) => H2Answer::ok(number.to_string()),
    })
    .await?;
    let client = Http2::connect(origin.address()).await?;
    assert_eq!(client.get("/").await?.text(), "0");
    let reset = client.get("/reset").await.err().context("answered")?;
    assert!(format!("{reset:#}").contains("refused"), "{reset:#}");
    let mut half = client.open("GET", "/half", &[], true).await?.head().await?.into_body();
    assert_eq!(half.data().await.context("no data")??, "half");
    assert!(half.data().await.is_some_and(|piece| piece.is_err()));
    assert_eq!(client.get("/last").await?.text(), "last");
    let mut client = RawH2::over(Stream::connect(origin.address()).await?).await?;
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"test"), (b":path", b"/abort")];
    client.headers(1, &fields, true).await?;
    let frame = client.outcome(1).await?.context("no word")?;
    assert_eq!((frame.kind, frame.payload[7]), (7, 11), "GOAWAY, ENHANCE_YOUR_CALM");
    let connections: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0, 0, 1]);
    Ok(())
}

#[tokio::test]
async fn raw_frames_reach_a_server_and_its_status_is_read() -> Result<()> {
    let options = EchoOptions { name: "two".into(), protocol: EchoProtocol::H2, tls: None };
    let origin = EchoOrigin::start_with(options).await?;
    let mut client = RawH2::over(Stream::connect(origin.address()).await?).await?;
    for (stream, status) in [(1, 200), (3, 503), (5, 418), (7, 299)] {
        let path = format!("/status/{status}");
        let fields: [(&[u8], &[u8]); 4] = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"test"),
            (b":path", path.as_bytes()),
        ];
        client.headers(stream, &fields, true).await?;
        let frame = client.outcome(stream).await?.context("no answer")?;
        assert_eq!(RawH2::status(&frame)?, status);
    }
    client.headers(9, &[(b"Bad Name", b"x")], true).await?;
    assert_ne!(client.outcome(9).await?.map(|frame| frame.kind), Some(1), "a bad field was answered");
    Ok(())
}

#[tokio::test]
async fn a_load_counts_what_went_well_and_what_did_not() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let load = LoadPlan::new(origin.address(), "/").connections(2).start();
    load.passed(50).await?;
    let report = load.stop().await?;
    report.all_ok()?;
    assert!(report.ok >= 50 && origin.connections() == 2, "{report}");
    let load = LoadPlan::new(origin.address(), "/").start();
    load.passed(10).await?;
    origin.fail(true);
    load.passed(20).await?;
    let report = load.stop().await?;
    assert!(report.failed > 0 && report.failures[0].contains("500"), "{report}");
    assert!(report.all_ok().is_err());
    Ok(())
}

#[tokio::test]
async fn a_pipe_carries_delays_stalls_cuts_and_resets() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let pipe = FaultyPipe::start(origin.address()).await?;
    let mut client = Http1::connect(pipe.address()).await?;
    assert_eq!(client.get("/bytes/100000").await?.body.len(), 100_000);
    pipe.set(Faults { delay: Duration::from_millis(20), ..Faults::default() });
    let before = std::time::Instant::now();
    assert_eq!(client.get("/").await?.status, 200);
    assert!(before.elapsed() >= Duration::from_millis(40), "20 ms each way");
    pipe.set(Faults { stalled: true, ..Faults::default() });
    client.send("GET /stalled HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    assert_eq!(origin.requests(), 2, "nothing passes a stalled pipe");
    pipe.set(Faults::default());
    assert_eq!(client.response("GET").await?.json()?["path"], "/stalled");
    pipe.cut();
    client.closed().await?;
    let mut client = Http1::connect(pipe.address()).await?;
    assert_eq!(client.get("/").await?.status, 200);
    pipe.reset();
    assert!(client.closed().await.is_err(), "a reset is not an orderly end");
    pipe.set(Faults { refusing: true, ..Faults::default() });
    let mut refused = Http1::connect(pipe.address()).await?;
    assert!(refused.get("/").await.is_err());
    assert_eq!(pipe.connections(), 3);
    Ok(())
}
