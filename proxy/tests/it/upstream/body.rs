//! Bodies between caller and endpoint: early answers, interim responses, aborted uploads, codings.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{EchoOptions, EchoOrigin, EchoProtocol, Ending, Http1, Http2, Script, ScriptedOrigin};

use super::{OK, logged, logging, reasons, settled};
use crate::stage::{plain, weir};

#[tokio::test]
async fn an_answer_before_the_whole_request_is_passed_on() -> Result<()> {
    let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig";
    let origin = ScriptedOrigin::start_with(None, move |number| match number {
        0 => Script::new().head().read(10).send(refusal).hang(),
        _ => Script::always(OK),
    })
    .await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n0123456789").await?;
    let told = client.response("POST").await?;
    assert_eq!((told.status, told.text().as_str()), (413, "big"));
    // Half a request went to the origin: that connection is of no more use.
    origin.until("the connection ending", |seen| seen[0].ending.clone()).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.text(), "ok");
    settled(&weir).await
}

#[tokio::test]
async fn an_origin_that_stops_reading_may_still_say_why() -> Result<()> {
    let refusal = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let origin = ScriptedOrigin::start(Script::new().head().send(refusal).finish()).await?;
    let weir = logging(origin.address(), "").await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let mut sending = client.open("POST", "/", &[], false).await?;
    sending.send(&[b'x'; 100_000], false).await?;
    let told = sending.response().await?;
    assert_eq!((told.status, told.text().as_str()), (403, "no"));
    settled(&weir).await
}

#[tokio::test]
async fn early_hints_go_on_and_other_interim_responses_do_not() -> Result<()> {
    let many = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::always(format!("{many}{OK}"))).await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..2 {
        let told = client.get("/").await?;
        assert_eq!(
            (told.status, told.interim.as_slice(), told.text().as_str()),
            (200, &[103, 103][..], "ok")
        );
    }
    assert_eq!(Http2::connect(weir.address("web")?).await?.get("/").await?.text(), "ok");
    Ok(())
}

#[tokio::test]
async fn an_upload_that_breaks_off_does_not_look_whole_to_the_origin() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(OK)).await?;
    let weir = logging(origin.address(), "").await?;
    for begun in [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ] {
        let before = origin.seen().len();
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send(format!("PUT / HTTP/1.1\r\nHost: test\r\n{begun}")).await?;
        origin.until("a connection", |seen| seen.get(before).map(|_| ())).await?;
        drop(client);
        let ending = origin.until("the connection ending", |seen| seen[before].ending.clone()).await?;
        // Or nothing was sent of it at all, since it was known to be broken.
        let unsent = origin.seen()[before].bytes.is_empty();
        assert!(matches!(ending, Ending::Broken(_)) || unsent, "{begun:?}: {ending:?}");
    }
    settled(&weir).await?;
    reasons(&weir, "downstream_aborted", 2.0).await?;
    reasons(&weir, "bad_request", 1.0).await?;
    logged(&weir, 3).await?;
    Ok(())
}

#[tokio::test]
async fn requests_say_of_their_body_what_they_must() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(OK)).await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let cases =
        [("GET", None), ("DELETE", None), ("POST", Some("0")), ("PUT", Some("0")), ("PATCH", Some("0"))];
    for (method, expected) in cases {
        assert_eq!(client.request(method, "/", &[], b"").await?.status, 200);
        let seen = origin.seen();
        let head = seen.iter().flat_map(|seen| &seen.heads).find(|head| head.start.starts_with(method));
        let length = head.and_then(|head| head.all("content-length").next().map(<[u8]>::to_vec));
        assert_eq!(length.as_deref(), expected.map(str::as_bytes), "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn bodies_stream_in_both_directions_at_once() -> Result<()> {
    let piece = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = Script::new()
        .head()
        .read(9)
        .send(format!("{head}{}", piece("pong")))
        .read(9)
        .send(piece("gnop"))
        .read(5)
        .send("0\r\n\r\n")
        .hang();
    let origin = ScriptedOrigin::start(script).await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    client.send(piece("ping")).await?;
    // Each answer comes while the request goes on.
    assert!(client.wire().head().await?.is_some_and(|head| head.start.contains("200")));
    assert_eq!(client.wire().exactly(9).await?, piece("pong").as_bytes());
    client.send(piece("gnip")).await?;
    assert_eq!(client.wire().exactly(9).await?, piece("gnop").as_bytes());
    client.send("0\r\n\r\n").await?;
    assert_eq!(client.wire().exactly(5).await?, b"0\r\n\r\n");
    settled(&weir).await
}

#[tokio::test]
async fn a_large_response_waits_for_its_caller_and_not_in_memory() -> Result<()> {
    for (protocol, keys) in [(EchoProtocol::H1, ""), (EchoProtocol::H2, "protocol = \"h2\"")] {
        const LENGTH: usize = 150_000_000;
        let origin = EchoOrigin::start_with(EchoOptions { protocol, ..EchoOptions::default() }).await?;
        let weir = weir(plain(origin.address(), keys)).await?;
        let client = Http2::connect(weir.address("web")?).await?;
        let response = client.open("GET", &format!("/bytes/{LENGTH}"), &[], true).await?.head().await?;
        // While the caller reads nothing, others are served.
        for _ in 0..50 {
            assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
        }
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(piece) = weir_testkit::within("a piece", body.data()).await? {
            let piece = piece?;
            length += piece.len();
            body.flow_control().release_capacity(piece.len())?;
        }
        assert_eq!(length, LENGTH);
        let status = std::fs::read_to_string(format!("/proc/{}/status", weir.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let peak: usize = peak.trim().trim_end_matches("kB").trim().parse()?;
        assert!(peak < 120_000, "{peak} KiB at the peak over {protocol:?}");
    }
    Ok(())
}

#[tokio::test]
async fn codings_beneath_chunked_pass_to_http1_and_are_refused_for_http2() -> Result<()> {
    let coded =
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::new().head().read(13).send(OK).hang()).await?;
    let weir_h1 = weir(plain(origin.address(), "").replace("count = 2", "count = 1")).await?;
    let mut client = Http1::connect(weir_h1.address("web")?).await?;
    for _ in 0..2 {
        client.send(coded).await?;
        assert_eq!(client.response("POST").await?.status, 200);
    }
    assert_eq!(origin.seen().len(), 2, "each over a connection of its own");
    assert!(origin.seen()[0].heads[0].all("transfer-encoding").any(|value| value == b"gzip, chunked"));

    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let weir_h2 = logging(origin.address(), "protocol = \"h2\"").await?;
    let mut client = Http1::connect(weir_h2.address("web")?).await?;
    client.send(coded).await?;
    assert_eq!(client.response("POST").await?.status, 501);
    assert_eq!(origin.requests(), 0);
    reasons(&weir_h2, "unknown_coding", 1.0).await?;
    settled(&weir_h2).await
}

#[tokio::test]
async fn nothing_is_sent_before_the_caller_was_told_to_go_on() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let origin = ScriptedOrigin::start(Script::new().head().body().wait(&gate).send(OK).again()).await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await?;
    let interim = client.wire().head().await?;
    assert!(interim.is_some_and(|head| head.start.contains("100")));
    client.send("abc").await?;
    gate.notify_one();
    assert_eq!(client.response("PUT").await?.status, 200);
    Ok(())
}
