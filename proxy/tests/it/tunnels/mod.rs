//! Connections that carry something else than HTTP: WebSockets, CONNECT, raw TCP, TLS that passes.

mod connect;
mod detect;
mod large;
mod passthrough;
mod proxy_protocol;
mod tcp;
mod websocket;
mod websocket_h2;

use anyhow::{Context, Result};
use weir_testkit::{Head, RawOrigin, Wire, within};

/// One access log line per exchange, on standard output.
const LOGGED: &str = "[access_log]\nto = \"stdout\"\n";

/// How a client asks for a WebSocket (RFC 6455 1.3).
pub(crate) const ASK: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// What an endpoint answers it.
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// An origin that agrees to a WebSocket and then sends everything back, to the last byte.
pub(crate) async fn websocket_echo() -> Result<RawOrigin> {
    RawOrigin::start(None, |mut wire| async move {
        let head = wire.head().await?.context("no request")?;
        agree(&mut wire, &head).await?;
        wire.echo().await
    })
    .await
}

/// Agrees to what a request head asks for, as RFC 6455 4.2.2 says.
async fn agree(wire: &mut Wire, head: &Head) -> Result<()> {
    let one = |name: &str| -> Result<String> {
        let value = head.all(name).next().with_context(|| format!("no {name} in {head:?}"))?;
        Ok(String::from_utf8(value.to_vec())?)
    };
    anyhow::ensure!(head.start == "GET /chat?room=1 HTTP/1.1", "{}", head.start);
    anyhow::ensure!(one("upgrade")? == "websocket" && one("connection")? == "upgrade", "{head:?}");
    let accept = accept(one("sec-websocket-key")?.as_bytes());
    let protocol = one("sec-websocket-protocol")?;
    wire.write(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
        )
        .as_bytes(),
    )
    .await
}

fn accept(key: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use base64::Engine;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// Waits for the end of a stream, with nothing before it.
async fn ended(body: &mut h2::RecvStream) -> Result<()> {
    while let Some(piece) = within("the end", body.data()).await? {
        anyhow::ensure!(piece?.is_empty(), "more before the end");
    }
    Ok(())
}

/// A masked frame as clients send them (RFC 6455 5.2).
pub(crate) fn frame(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [7, 11, 13, 17];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
