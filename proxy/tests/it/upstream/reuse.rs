//! Which connections to an endpoint carry another exchange, and which do not.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{EchoOrigin, Ending, Http1, Script, ScriptedOrigin, eventually};

use super::{OK, logged, logging, reaches, reasons, settled};
use crate::stage::{plain, weir};

/// Two exchanges, the first answered with `first`; says over how many connections they went.
async fn connections_used(first: &str) -> Result<usize> {
    let answer = first.to_owned();
    let origin = ScriptedOrigin::start_with(None, move |number| match number {
        0 => Script::new().head().body().send(answer.as_str()).head().body().send(OK).hang(),
        _ => Script::always(OK),
    })
    .await?;
    let weir = weir(plain(origin.address(), "").replace("count = 2", "count = 1")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/first").await?.status / 100, 2, "{first:?}");
    let second = client.get("/second").await?;
    assert_eq!((second.status, second.text().as_str()), (200, "ok"), "{first:?}");
    Ok(origin.seen().iter().filter(|seen| !seen.heads.is_empty()).count())
}

const FIRST: fn(&str) -> String = |rest| format!("HTTP/1.1 200 OK\r\n{rest}");

#[tokio::test]
async fn a_connection_is_used_again_when_its_response_ended_clearly() -> Result<()> {
    for first in [
        OK.to_owned(),
        FIRST("Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        FIRST("Content-Length: 0\r\n\r\n"),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    ] {
        assert_eq!(connections_used(&first).await?, 1, "{first:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_is_given_up_when_it_may_hold_something_else() -> Result<()> {
    for first in [
        FIRST("Connection: close\r\nContent-Length: 2\r\n\r\nok"),
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        FIRST("Content-Length: 2\r\n\r\nok and more"),
        FIRST("Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"),
        FIRST("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore"),
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nwrong".to_owned(),
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n".to_owned(),
    ] {
        assert_eq!(connections_used(&first).await?, 2, "{first:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_response_without_length_ends_with_its_connection() -> Result<()> {
    let origin = ScriptedOrigin::start_with(None, |number| match number {
        0 => Script::new().head().send(FIRST("\r\nuntil the end")),
        _ => Script::always(OK),
    })
    .await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let told = client.get("/").await?;
    assert_eq!((told.status, told.text().as_str()), (200, "until the end"));
    assert!(!told.closes(), "the caller's connection lives on");
    assert_eq!(client.get("/").await?.text(), "ok");
    Ok(())
}

#[tokio::test]
async fn the_answer_to_head_has_no_body_whatever_it_announces() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(FIRST("Content-Length: 1000\r\n\r\n"))).await?;
    let weir = weir(plain(origin.address(), "").replace("count = 2", "count = 1")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..3 {
        let told = client.request("HEAD", "/", &[], b"").await?;
        assert_eq!((told.status, told.field("content-length")), (200, Some("1000")));
    }
    assert_eq!(origin.seen().len(), 1);
    Ok(())
}

/// An origin whose first connection answers once, waits for a second request, and leaves without a word.
async fn stale_origin() -> Result<ScriptedOrigin> {
    ScriptedOrigin::start_with(None, |number| match number {
        0 => Script::new().head().body().send(OK).head().body(),
        _ => Script::always(OK),
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_the_origin_closes_costs_an_idempotent_request_nothing() -> Result<()> {
    let requests = [("GET", ""), ("HEAD", ""), ("DELETE", ""), ("PUT", ""), ("PUT", "five!")];
    for (method, body) in requests {
        let origin = stale_origin().await?;
        let weir = logging(origin.address(), "").await?;
        let weir_one = weir.address("web")?;
        let mut client = Http1::connect(weir_one).await?;
        assert_eq!(client.get("/first").await?.status, 200);
        assert_eq!(client.request(method, "/second", &[], body.as_bytes()).await?.status, 200, "{method}");
        let seconds = origin.seen().iter().flat_map(|seen| seen.heads.clone()).count();
        assert_eq!(seconds, 3, "{method} was sent twice");
        let lines = logged(&weir, 2).await?;
        assert_eq!(lines[1]["attempts"], 2, "{method}: {:?}", lines[1]);
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() -> Result<()> {
    for body in [&b""[..], b"five!"] {
        let origin = stale_origin().await?;
        let weir = logging(origin.address(), "").await?;
        let mut client = Http1::connect(weir.address("web")?).await?;
        assert_eq!(client.get("/first").await?.status, 200);
        let told = client.request("POST", "/second", &[], body).await?;
        assert_eq!(told.status, 502);
        assert_eq!(origin.requests(), 2, "it was sent once");
        reasons(&weir, "upstream_closed", 1.0).await?;
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_new_connection_that_is_closed_costs_an_attempt() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::new().head()).await?;
    let weir = logging(origin.address(), "retries = 0").await?;
    let told = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!((told.status, origin.requests()), (502, 1));
    assert!(told.field("proxy-status").is_some_and(|s| s.contains("error=connection_terminated")));
    assert_eq!(logged(&weir, 1).await?[0]["reason"], "upstream_closed");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_the_origin_closed_while_idle_is_noticed() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let (first, at) = (gate.clone(), gate);
    let origin = ScriptedOrigin::start_with(None, move |number| match number {
        0 => Script::new().head().send(OK).wait(&first),
        _ => Script::always(OK),
    })
    .await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 200);
    at.notify_one();
    origin.until("the close", |seen| (seen[0].ending == Some(Ending::Scripted)).then_some(())).await?;
    // Even what must not be repeated gets through: the close is seen before anything is sent.
    reaches(&weir, "weir_cluster_connections_active{cluster=\"origin\"}", 0.0).await?;
    assert_eq!(client.request("POST", "/", &[], b"once").await?.status, 200);
    assert_eq!(logged(&weir, 2).await?[1]["attempts"], 1);
    Ok(())
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_time() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(OK)).await?;
    let weir = weir(plain(origin.address(), "idle_timeout = \"50ms\"")).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    origin.until("the connection ending", |seen| seen[0].ending.clone()).await?;
    reaches(&weir, "weir_cluster_connections_active{cluster=\"origin\"}", 0.0).await?;
    reaches(&weir, "weir_cluster_connections_total{cluster=\"origin\"}", 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn large_and_small_responses_share_one_connection() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "").replace("count = 2", "count = 1")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    // Lengths around those of buffers: a read that fills its buffer says nothing about what follows.
    for length in [16_384, 65_536, 65_400, 16_200, 131_072, 1_000_000, 1] {
        let told = client.get(&format!("/bytes/{length}")).await?;
        assert_eq!((told.status, told.body.len()), (200, length));
        client.wire().forget();
    }
    let connections = eventually("connections", async || Some(origin.connections())).await?;
    assert_eq!(connections, 1);
    Ok(())
}

#[tokio::test]
async fn unix_sockets_and_names_are_endpoints_too() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let named = format!("localhost:{}", origin.address().port());
    let config = plain(origin.address(), "").replace(&origin.address().to_string(), &named);
    let weir_named = weir(config).await?;
    for _ in 0..4 {
        assert_eq!(Http1::fetch(weir_named.address("web")?, "/").await?.status, 200);
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("origin.sock");
    let listener = tokio::net::UnixListener::bind(&path)?;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut wire = weir_testkit::Wire::new(weir_testkit::Stream::Unix(stream));
        while wire.head().await?.is_some() {
            wire.write(OK.as_bytes()).await?;
        }
        anyhow::Ok(())
    });
    let config = plain(origin.address(), "").replace(
        &format!("address = \"{}\"", origin.address()),
        &format!("address = \"unix:{}\"", path.display()),
    );
    let weir = weir(config.replace("count = 2", "count = 1")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..3 {
        assert_eq!(client.get("/").await?.text(), "ok");
    }
    serving.abort();
    Ok(())
}
