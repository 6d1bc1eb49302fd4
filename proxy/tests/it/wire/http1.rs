//! HTTP/1.1 as callers speak it (RFC 9112).

use anyhow::Result;
use serde_json::json;
use weir_testkit::{EchoOrigin, Framing, Http1, Http2, Launch, Script, ScriptedOrigin};

use super::with;
use crate::stage::{WEIR, plain, weir};

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let mut all = String::new();
    for number in 0..20 {
        // The first takes longest: an answer that overtook it would show.
        let delay = if number == 0 { 50 } else { 0 };
        all +=
            &format!("POST /echo?delay={delay} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{number:03}");
    }
    client.send(all).await?;
    for number in 0..20 {
        let told = client.response("POST").await?;
        assert_eq!((told.status, told.text()), (200, format!("{number:03}")));
    }
    assert_eq!(client.get("/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn chunks_and_trailers_pass_both_ways() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let message = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n";
    client.send(message).await?;
    let told = client.response("POST").await?.json()?;
    assert_eq!(told["body"], "abcdefg");
    assert_eq!(told["trailers"], json!([["x-sum", "7"]]), "what frames a message is no trailer");
    Ok(())
}

#[tokio::test]
async fn trailers_of_a_response_pass() -> Result<()> {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Checked: yes\r\nHost: b\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::always(answer)).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..2 {
        let told = client.get("/").await?;
        assert_eq!((told.framing, told.text().as_str()), (Framing::Chunked, "body"));
        assert_eq!((told.trailer("x-checked"), told.trailers.len()), (Some("yes"), 1));
    }
    let over_h2 = Http2::connect(weir.address("web")?).await?.get("/").await?;
    assert_eq!((over_h2.text().as_str(), over_h2.trailer("x-checked")), ("body", Some("yes")));
    Ok(())
}

#[tokio::test]
async fn responses_without_a_body_have_none() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let head = client.request("HEAD", "/bytes/1000", &[], b"").await?;
    assert_eq!((head.status, head.field("content-length")), (200, Some("1000")));
    let missing = client.request("HEAD", "/status/404", &[], b"").await?;
    assert_eq!((missing.status, missing.body.len()), (404, 0));
    Ok(())
}

#[tokio::test]
async fn a_204_or_304_is_not_followed_by_a_body() -> Result<()> {
    let answers = [
        "HTTP/1.1 204 No Content\r\nx-n: 1\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\netag: \"a\"\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ];
    let script = answers.iter().fold(Script::new(), |script, answer| script.head().send(*answer));
    let origin = ScriptedOrigin::start(script).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 204);
    let unchanged = client.get("/").await?;
    assert_eq!((unchanged.status, unchanged.field("etag")), (304, Some("\"a\"")));
    assert_eq!(client.get("/").await?.text(), "ok");
    Ok(())
}

#[tokio::test]
async fn http_1_0_gets_no_chunks_and_keeps_alive_only_if_asked() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET /bytes/5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await?;
    let told = client.response("GET").await?;
    assert_eq!((told.framing, told.text().as_str(), told.closes()), (Framing::Length, "xxxxx", false));
    client.send("GET /trailers HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await?;
    let told = client.response("GET").await?;
    assert_eq!((told.framing, told.text().as_str()), (Framing::Close, "body"));
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.0\r\n\r\n").await?;
    assert!(client.response("GET").await?.closes());
    client.closed().await
}

#[tokio::test]
async fn close_is_obeyed_and_passed_to_nobody_else() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "").replace("count = 2", "count = 1")).await?;
    for _ in 0..2 {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let told = client.response("GET").await?;
        assert!(told.closes());
        client.closed().await?;
    }
    // Neither the origin's connection nor a further request went with it.
    assert_eq!((origin.requests(), origin.connections()), (2, 1));
    Ok(())
}

#[tokio::test]
async fn a_connection_serves_as_many_requests_as_configured() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let config = plain(origin.address(), "[listeners.web.limits]\nrequests = 2\n");
    let weir = weir(config).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert!(!client.get("/").await?.closes());
    assert!(client.get("/").await?.closes());
    client.closed().await
}

#[tokio::test]
async fn every_form_of_target_reaches_the_origin_in_origin_form() -> Result<()> {
    let origin =
        ScriptedOrigin::start(Script::always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let requests = [
        ("GET http://Other.example:80/a?b HTTP/1.1\r\nHost: other.example\r\n\r\n", "GET /a?b HTTP/1.1"),
        ("GET http://other.example HTTP/1.1\r\nHost: other.example\r\n\r\n", "GET / HTTP/1.1"),
        ("OPTIONS * HTTP/1.1\r\nHost: other.example\r\n\r\n", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://other.example HTTP/1.1\r\nHost: other.example\r\n\r\n", "OPTIONS * HTTP/1.1"),
        ("GET //x/../y?http://z HTTP/1.1\r\nHost: other.example\r\n\r\n", "GET //x/../y?http://z HTTP/1.1"),
    ];
    for (request, line) in requests {
        client.send(request).await?;
        assert_eq!(client.response("GET").await?.status, 200, "{request}");
        let heads: Vec<_> = origin.seen().into_iter().flat_map(|seen| seen.heads).collect();
        let head = heads.last().unwrap();
        assert_eq!(head.start, line);
        let hosts: Vec<_> = head.all("host").map(|host| String::from_utf8_lossy(host).into_owned()).collect();
        assert_eq!(hosts.len(), 1, "{hosts:?}");
        assert!(hosts[0].starts_with("other.example"), "{hosts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let config = plain(origin.address(), "").replace(
        "[listeners.web]\naddress = \"127.0.0.1:0\"",
        "[listeners.web]\naddress = \"unix:{dir}/web.sock\"",
    );
    let weir = Launch::new(WEIR, config).start().await?;
    let mut client = Http1::connect_unix(&weir.path("web.sock")).await?;
    let told = client.get("/").await?.json()?;
    let fields = told["fields"].as_array().unwrap();
    assert!(fields.contains(&json!(["x-forwarded-proto", "http"])), "{fields:?}");
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let config = plain(origin.address(), "[listeners.web.limits]\nidle_timeout = \"300ms\"\n");
    let weir = weir(with(&config, "listeners.web", "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/delay/900ms").await?.status, 200);
    client.closed().await
}
