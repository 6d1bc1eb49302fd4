//! What RFC 9113 and RFC 7541 forbid callers, frame by frame, section by section as `h2spec` has them: each ends
//! its stream or its connection with the error that is due, and Weir goes on.

use anyhow::{Context, Result, ensure};
use weir_testkit::{EchoOrigin, Http1, Http2, RawH2, Stream, WeirProcess};

use crate::stage::{plain, weir};

mod frames;
mod messages;

const PROTOCOL_ERROR: u8 = 1;
const FLOW_CONTROL_ERROR: u8 = 3;
const STREAM_CLOSED: u8 = 5;
const FRAME_SIZE_ERROR: u8 = 6;
const REFUSED_STREAM: u8 = 7;
const COMPRESSION_ERROR: u8 = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const ACK: u8 = 1;

/// Kind, flags, stream, payload.
type Sent = (u8, u8, u32, Vec<u8>);

/// What has to follow.
enum Due {
    /// GOAWAY with one of these errors.
    Connection(&'static [u8]),
    /// RST_STREAM with one of these errors, or GOAWAY with one.
    Stream(&'static [u8]),
    /// Nothing: it is allowed.
    Fine,
}

use Due::{Connection, Fine, Stream as OfStream};

/// The section of RFC 9113 (or 7541), what is done, and what is due.
type Case = (&'static str, Vec<Sent>, Due);

fn get() -> Vec<u8> {
    with(&[])
}

fn with(more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut fields: Vec<(&[u8], &[u8])> =
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
    fields.extend(more);
    RawH2::block(&fields)
}

fn whole(stream: u32, block: Vec<u8>) -> Sent {
    (HEADERS, END_HEADERS | END_STREAM, stream, block)
}

fn open(stream: u32, block: Vec<u8>) -> Sent {
    (HEADERS, END_HEADERS, stream, block)
}

fn setting(key: u16, value: u32) -> Sent {
    (SETTINGS, 0, 0, [&key.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

async fn play(weir: &WeirProcess, sent: &[Sent], due: &Due) -> Result<()> {
    let mut client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    for (kind, flags, stream, payload) in sent {
        // A connection that is over already takes no more.
        let _ = client.send(*kind, *flags, *stream, payload).await;
    }
    if let Fine = due {
        client.send(PING, 0, 0, b"are you?").await?;
    }
    loop {
        let Some(frame) = client.frame().await? else { anyhow::bail!("the connection ended without a word") };
        let error = frame.payload.get(7).or(frame.payload.get(3)).copied().unwrap_or(0);
        match (frame.kind, due) {
            (PING, Fine) if frame.flags & ACK != 0 && frame.payload == b"are you?" => return Ok(()),
            (RST_STREAM, OfStream(errors)) | (GOAWAY, OfStream(errors) | Connection(errors)) => {
                // The HTTP/2 library calls most errors of a connection by their general name.
                let general = frame.kind == GOAWAY && error == PROTOCOL_ERROR;
                ensure!(errors.contains(&error) || general, "{frame:?}");
                return Ok(());
            }
            (RST_STREAM | GOAWAY, _) => anyhow::bail!("{frame:?}"),
            (HEADERS, OfStream(errors)) if *errors == [PROTOCOL_ERROR] => {
                let status = RawH2::status(&frame)?;
                ensure!(status >= 400, "it was answered with {status}");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_violation_gets_the_error_that_is_due() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let config = plain(origin.address(), "[listeners.web.limits]\nstreams = 4\n");
    let weir = weir(super::with(&config, "clusters.origin", "exchange_timeout = \"2s\"")).await?;
    let mut wrong = Vec::new();
    for (name, sent, due) in
        [frames::framing(), frames::states(), frames::frames(), messages::requests(), messages::compression()]
            .into_iter()
            .flatten()
    {
        if let Err(error) = play(&weir, &sent, &due).await {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(Http2::connect(weir.address("web")?).await?.get("/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_pseudo_field_in_trailers_goes_nowhere() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    let trailers = whole(1, RawH2::block(&[(b":path", b"/mark"), (b"x-sum", b"1")]));
    for (kind, flags, stream, payload) in [open(1, get()), trailers] {
        client.send(kind, flags, stream, &payload).await?;
    }
    let head = client.outcome(1).await?.context("an outcome")?;
    ensure!(head.kind == HEADERS, "{head:?}");
    let body = client.frame().await?.context("a body")?;
    let told: serde_json::Value = serde_json::from_slice(&body.payload)?;
    assert_eq!((&told["path"], &told["trailers"]), (&"/".into(), &serde_json::json!([["x-sum", "1"]])));
    Ok(())
}

#[tokio::test]
async fn a_broken_preface_is_bad_http_1() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await?;
    let told = client.response("GET").await.context("an answer")?;
    assert!(matches!(told.status, 400 | 505), "{}", told.status);
    client.closed().await
}
