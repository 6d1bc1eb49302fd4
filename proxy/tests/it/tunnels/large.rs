//! Large transfers over relays, whole and both ways at once: whether bytes are copied or stay in the kernel.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_testkit::{Http1, RawOrigin, Stream, Wire};

use super::{LOGGED, tcp::tcp};
use crate::{
    stage::{plain, weir},
    upstream::logged,
};

const LENGTH: usize = 48 << 20;

/// Bytes that tell where they stand.
fn pattern(seed: u64) -> Vec<u8> {
    let word = |at: u64| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..LENGTH as u64 / 8).flat_map(word).collect()
}

/// Sends the pattern and ends, while the other side's comes in to its end.
async fn exchange(stream: Stream, sent: u64, expected: u64, piece: usize) -> Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = async {
        for piece in pattern(sent).chunks(piece) {
            write.write_all(piece).await?;
        }
        write.shutdown().await
    };
    let mut received = Vec::with_capacity(LENGTH);
    let (sent, read) = tokio::join!(sending, read.read_to_end(&mut received));
    sent.context("sending")?;
    read.context("receiving")?;
    ensure!(received.len() == LENGTH, "{} bytes in place of {LENGTH}", received.len());
    let wrong = received.iter().zip(pattern(expected)).position(|(is, expected)| *is != expected);
    ensure!(wrong.is_none(), "another byte at {wrong:?}");
    Ok(())
}

/// An origin that sends one pattern and expects another, and says whether that came.
async fn origin() -> Result<(RawOrigin, tokio::sync::mpsc::UnboundedReceiver<Result<()>>)> {
    let (told, outcome) = tokio::sync::mpsc::unbounded_channel();
    let serve = move |wire: Wire| {
        let told = told.clone();
        async move {
            let _ = told.send(exchange(wire.into_stream(), 2, 1, 1 << 20).await);
            Ok(())
        }
    };
    Ok((RawOrigin::start(None, serve).await?, outcome))
}

#[tokio::test]
async fn tcp_carries_both_ways_at_once() -> Result<()> {
    let (origin, mut outcome) = origin().await?;
    let weir = weir(tcp(plain(origin.address(), LOGGED))).await?;
    for (number, piece) in [1 << 20, 20_011].into_iter().enumerate() {
        exchange(Stream::connect(weir.address("web")?).await?, 1, 2, piece).await?;
        outcome.recv().await.context("the origin")??;
        let line = &logged(&weir, number + 1).await?[number];
        assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&LENGTH.into(), &LENGTH.into()), "{line}");
        assert_eq!(line["reason"], serde_json::Value::Null, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tunnel_carries_both_ways_at_once() -> Result<()> {
    let (origin, mut outcome) = origin().await?;
    let config =
        plain(origin.address(), "").replace("[listeners.web]\n", "[listeners.web]\nconnect = true\n");
    let weir = weir(config).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n").await?;
    // Byte by byte, so that nothing of what follows is read ahead.
    let Stream::Tcp(mut stream) = client.into_stream() else { unreachable!() };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{head:?}");
    exchange(Stream::Tcp(stream), 1, 2, 1 << 20).await?;
    outcome.recv().await.context("the origin")?
}
