//! Origins that break the rules: each costs its own exchange a 502, or a cut, and nobody else anything.

use anyhow::Result;
use weir_testkit::{Http1, Http2, Script, ScriptedOrigin};

use super::{OK, logged, logging, reaches, reasons, settled};

/// What an origin sends, and the reason it is given up for.
const BROKEN: [(&str, &str); 19] = [
    ("hello\r\n\r\n", "upstream_protocol"),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", "upstream_protocol"),
    ("HTTP/2.0 200 OK\r\n\r\n", "upstream_protocol"),
    ("HTTP/1.1 99 Low\r\n\r\n", "upstream_protocol"),
    ("HTTP/1.1 2000 High\r\n\r\n", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nx y: z\r\nContent-Length: 2\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nx: a\r\n folded\r\nContent-Length: 2\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nx: a\0b\r\nContent-Length: 2\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", "upstream_protocol"),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "upstream_protocol"),
    ("HTTP/1.1 200 OK\r\nContent-Le", "upstream_closed"),
    ("", "upstream_closed"),
];

#[tokio::test]
async fn an_illegal_head_is_answered_502_whoever_asks() -> Result<()> {
    let all = BROKEN;
    // Two connections for each case, in order; the last ones behave.
    let origin = ScriptedOrigin::start_with(None, move |number| match all.get(number / 2) {
        Some((bytes, _)) => Script::new().head().send(*bytes),
        None => Script::always(OK),
    })
    .await?;
    let weir = logging(origin.address(), "retries = 0").await?;
    let h2 = Http2::connect(weir.address("web")?).await?;
    for (number, (bytes, reason)) in BROKEN.into_iter().enumerate() {
        let mut h1 = Http1::connect(weir.address("web")?).await?;
        for told in [h1.get("/").await?, h2.get("/").await?] {
            assert_eq!((told.status, told.count("proxy-status")), (502, 1), "{bytes:?}");
        }
        let alike = BROKEN[..=number].iter().filter(|(_, other)| *other == reason).count();
        reasons(&weir, reason, 2.0 * alike as f64).await?;
    }
    assert_eq!(h2.get("/").await?.status, 200);
    logged(&weir, 2 * BROKEN.len() + 1).await?;
    settled(&weir).await
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_answered_502() -> Result<()> {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(5000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(300));
    let endless = "HTTP/1.1 200 OK\r\nx: ".to_owned() + &"y".repeat(100_000);
    for (head, limit) in [(large, "4KiB"), (many, "64KiB"), (endless, "4KiB")] {
        let origin = ScriptedOrigin::start(Script::new().head().send(head).hang()).await?;
        let weir = logging(origin.address(), &format!("limits = {{ head = \"{limit}\" }}")).await?;
        let told = Http1::fetch(weir.address("web")?, "/").await?;
        assert_eq!(told.status, 502);
        assert!(
            told.field("proxy-status").is_some_and(|s| s.contains("http_response_header_section_size")),
            "{told:?}"
        );
        reasons(&weir, "upstream_head_too_large", 1.0).await?;
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reset_before_the_head_is_answered_502() -> Result<()> {
    for begun in ["", "HTTP/1.1 200 OK\r\nCont"] {
        let origin = ScriptedOrigin::start(Script::new().head().send(begun).reset()).await?;
        let weir = logging(origin.address(), "retries = 0").await?;
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 502);
        reasons(&weir, "upstream_closed", 1.0).await?;
        let failed = "weir_cluster_attempts_total{cluster=\"origin\",result=\"failed\"}";
        reaches(&weir, failed, 1.0).await?;
        settled(&weir).await?;
    }
    Ok(())
}

/// What breaks off in the body.
const CUT: [&str; 8] = [
    "Content-Length: 10\r\n\r\nabc",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
];

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole() -> Result<()> {
    let origin = ScriptedOrigin::start_with(None, |number| match CUT.get(number / 2) {
        Some(rest) => Script::new().head().send(format!("HTTP/1.1 200 OK\r\n{rest}")),
        None => Script::always(OK),
    })
    .await?;
    let weir = logging(origin.address(), "").await?;
    let h2 = Http2::connect(weir.address("web")?).await?;
    for (number, rest) in CUT.iter().enumerate() {
        let mut h1 = Http1::connect(weir.address("web")?).await?;
        let told = h1.get("/").await;
        assert!(told.is_err(), "{rest:?}: {told:?}");
        let told = h2.get("/").await;
        assert!(told.is_err(), "{rest:?}: {told:?}");
        reasons(&weir, "upstream_aborted", 2.0 * (number + 1) as f64).await?;
    }
    assert_eq!(h2.get("/").await?.status, 200);
    let lines = logged(&weir, 2 * CUT.len() + 1).await?;
    assert_eq!(lines.iter().filter(|line| line["reason"] == "upstream_aborted").count(), 2 * CUT.len());
    settled(&weir).await
}

#[tokio::test]
async fn a_reset_in_the_body_cuts_the_caller() -> Result<()> {
    let response = "HTTP/1.1 200 OK\r\n\r\nno length, so only the end tells";
    let origin = ScriptedOrigin::start(Script::new().head().send(response).reset()).await?;
    let weir = logging(origin.address(), "").await?;
    let mut h1 = Http1::connect(weir.address("web")?).await?;
    assert!(h1.get("/").await.is_err());
    let h2 = Http2::connect(weir.address("web")?).await?;
    assert!(h2.get("/").await.is_err());
    settled(&weir).await
}

#[tokio::test]
async fn bytes_behind_a_response_reach_nobody() -> Result<()> {
    let smuggled = format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled");
    let origin = ScriptedOrigin::start(Script::always(smuggled)).await?;
    let weir = logging(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..10 {
        assert_eq!(client.get("/").await?.text(), "ok");
    }
    settled(&weir).await
}
