//! Bodies: large ones stream with back-pressure and bounded memory; early answers end uploads.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_testkit::{
    EchoOptions, EchoOrigin, EchoProtocol, Http1, Http2, Script, ScriptedOrigin, Stream, within,
};

use crate::stage::{plain, weir};

const MIB: usize = 1024 * 1024;
/// More than all buffers of both sockets and the proxy together.
const LARGE: usize = 100 * MIB;

#[tokio::test]
async fn a_response_that_nobody_reads_waits_at_the_origin() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let before = weir.resident()?;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send(format!("GET /bytes/{LARGE} HTTP/1.1\r\nHost: a\r\n\r\n")).await?;
        // The head is there, so the body is on its way.
        assert!(client.wire().head().await?.unwrap().start.contains("200"));
        clients.push(client);
    }
    assert_eq!(length_of_response(weir.address("web")?).await?, LARGE);
    let grown = weir.resident()?.saturating_sub(before);
    assert!(grown < 24 * MIB as u64, "{} MiB for 8 large responses", grown / MIB as u64);
    Ok(())
}

/// Reads a large response whole, counting, so that the test itself holds none of it.
async fn length_of_response(address: SocketAddr) -> Result<usize> {
    let mut stream = Stream::connect(address).await?;
    let request = format!("GET /bytes/{LARGE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 256 * 1024];
    let (mut total, mut head) = (0, None);
    loop {
        let n = within("a piece of the body", stream.read(&mut buffer)).await??;
        if n == 0 {
            return Ok(total - head.unwrap_or(0));
        }
        let end = buffer[..n].windows(4).position(|window| window == b"\r\n\r\n");
        head = head.or(end.map(|end| total + end + 4));
        total += n;
    }
}

#[tokio::test]
async fn an_upload_that_nobody_reads_waits_at_the_caller() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::new().head().pause(Duration::from_secs(600))).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let before = weir.resident()?;
    let mut stream = Stream::connect(weir.address("web")?).await?;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let piece = vec![b'x'; MIB];
    let mut taken = 0;
    // Sockets take some megabytes; then nothing moves any more.
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&piece)).await {
        written?;
        taken += MIB;
        assert!(taken < LARGE, "everything was taken");
    }
    let grown = weir.resident()?.saturating_sub(before);
    assert!(grown < 8 * MIB as u64, "{} KiB", grown / 1024);
    Ok(())
}

#[tokio::test]
async fn large_uploads_arrive_whole_over_both_versions() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let before = weir.resident()?;
    let body: Vec<u8> = (0..32 * MIB).map(|at| (at / 7) as u8).collect();
    let sum: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let over_h1 = Http1::connect(weir.address("web")?).await?.request("POST", "/", &[], &body).await?;
    let over_h2 = Http2::connect(weir.address("web")?).await?.request("POST", "/", &[], &body).await?;
    for told in [over_h1, over_h2] {
        let told = told.json()?;
        assert_eq!((&told["body_length"], &told["body_sha256"]), (&(32 * MIB).into(), &sum.clone().into()));
    }
    let grown = weir.resident()?.saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "{} KiB", grown / 1024);
    Ok(())
}

#[tokio::test]
async fn an_answer_before_the_body_is_read_reaches_the_caller() -> Result<()> {
    let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    let origin = ScriptedOrigin::start(Script::new().head().send(refusal).hang()).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    // A large body will not be read for the sake of a connection...
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\nabc")).await?;
    let told = client.response("POST").await?;
    assert_eq!((told.status, told.text().as_str()), (403, "no"));
    client.closed().await?;
    // ... a small one is, and the caller's connection stays.
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab").await?;
    assert_eq!(client.response("POST").await?.status, 403);
    client.send("cde").await?;
    assert_eq!(client.get("/").await?.status, 403);
    // The origin's connections are not used again: the rest of the body was never sent there.
    assert_eq!(origin.seen().len(), 3);
    Ok(())
}

#[tokio::test]
async fn both_directions_move_at_once() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").await?;
    assert!(client.wire().head().await?.unwrap().start.contains("200"));
    for piece in ["cd", "ef"] {
        assert_eq!(client.wire().exactly(7).await?[..3], *b"2\r\n");
        client.send(format!("2\r\n{piece}\r\n")).await?;
    }
    assert_eq!(client.wire().exactly(7).await?, b"2\r\nef\r\n");
    client.send("0\r\n\r\n").await?;
    assert_eq!(client.wire().exactly(5).await?, b"0\r\n\r\n");
    Ok(())
}

#[tokio::test]
async fn frames_of_all_sizes_come_through_http2_on_both_sides() -> Result<()> {
    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let weir = weir(plain(origin.address(), "").replace("}]", "}]\nprotocol = \"h2\"")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    // More than the windows of all three connections, in pieces around the size at which copying ends.
    let sizes = [1, 100, 4095, 4096, 4097, 16_384, 60_000];
    let pieces: Vec<Vec<u8>> = (0..200).map(|n| vec![n as u8; sizes[n % sizes.len()]]).collect();
    let sent = pieces.concat();
    let (mut upload, head) = client.open("POST", "/echo", &[], false).await?.split();
    for piece in pieces {
        // Kept by the client until a window has room.
        upload.send_data(piece.into(), false)?;
    }
    upload.send_data(Vec::new().into(), true)?;
    let mut answer = within("the head", head).await??.into_body();
    let mut got = Vec::new();
    while let Some(piece) = within("a piece", answer.data()).await? {
        let piece = piece?;
        answer.flow_control().release_capacity(piece.len())?;
        got.extend_from_slice(&piece);
    }
    assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
    Ok(())
}
