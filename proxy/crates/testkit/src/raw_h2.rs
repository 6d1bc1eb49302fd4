//! HTTP/2 frame by frame, for what a well-behaved client refuses to send.
//!
//! Field blocks are written literally, without Huffman or table, so that any byte can stand in a name or
//! value (RFC 7541 6.2.2); what is received is given as frames, undecoded.

use anyhow::{Result, bail, ensure};

use crate::{Stream, Wire};

/// A frame (RFC 9113 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// 0 DATA, 1 HEADERS, 3 RST_STREAM, 4 SETTINGS, 6 PING, 7 GOAWAY, 8 WINDOW_UPDATE, 9 CONTINUATION ...
    pub kind: u8,
    /// 1 END_STREAM or ACK, 4 END_HEADERS, 8 PADDED, 32 PRIORITY.
    pub flags: u8,
    /// 0: the connection.
    pub stream: u32,
    /// At most 16 MiB.
    pub payload: Vec<u8>,
}

/// A connection whose preface and first SETTINGS are sent.
#[derive(Debug)]
pub struct RawH2 {
    wire: Wire,
}

impl RawH2 {
    /// Sends the preface and empty SETTINGS.
    pub async fn over(stream: Stream) -> Result<Self> {
        let mut this = Self { wire: Wire::new(stream) };
        this.wire.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        this.send(4, 0, 0, &[]).await?;
        Ok(this)
    }

    /// Sends one frame as it is told.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())?.to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend(stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.wire.write(&bytes).await
    }

    /// A field block: each field as "literal without indexing, new name".
    pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in fields {
            bytes.push(0);
            string(&mut bytes, name);
            string(&mut bytes, value);
        }
        bytes
    }

    /// Writes as much of `bytes` as the peer takes before it pauses for a moment, without reading anything.
    /// None: it has ended the connection.
    pub async fn flood(&mut self, bytes: &[u8]) -> Option<usize> {
        self.wire.write_some(bytes).await
    }

    /// Sends HEADERS with END_HEADERS: pseudo-fields and fields in the order given, as they are.
    pub async fn headers(&mut self, stream: u32, fields: &[(&[u8], &[u8])], end: bool) -> Result<()> {
        self.send(1, 4 | u8::from(end), stream, &Self::block(fields)).await
    }

    /// The next frame; none when the peer ended the connection.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        let Ok(head) = self.wire.exactly(9).await else { return Ok(None) };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let payload = self.wire.exactly(usize::try_from(length)?).await?;
        Ok(Some(Frame { kind: head[3], flags: head[4], stream, payload }))
    }

    /// Reads frames, acknowledging SETTINGS and PING, up to the one that tells what became of `stream`: its
    /// HEADERS, its RST_STREAM, or GOAWAY. None: the connection ended without a word.
    pub async fn outcome(&mut self, stream: u32) -> Result<Option<Frame>> {
        for _ in 0..1000 {
            let Some(frame) = self.frame().await? else { return Ok(None) };
            match frame.kind {
                4 | 6 if frame.flags & 1 == 0 => {
                    // The peer may be gone; the next read tells.
                    let payload = if frame.kind == 6 { frame.payload } else { Vec::new() };
                    let _ = self.send(frame.kind, 1, 0, &payload).await;
                }
                1 | 3 if frame.stream == stream => return Ok(Some(frame)),
                7 => return Ok(Some(frame)),
                _ => {}
            }
        }
        bail!("1000 frames, and no word about stream {stream}")
    }

    /// The status of a HEADERS frame, if it is written as one of the seven indexed ones (RFC 7541 A) or
    /// literally without Huffman, and first, as every encoder writes it.
    pub fn status(frame: &Frame) -> Result<u16> {
        ensure!(frame.kind == 1, "frame kind {} is not HEADERS", frame.kind);
        let indexed = [200, 204, 206, 304, 400, 404, 500];
        match frame.payload.as_slice() {
            [first @ 0x88..=0x8e, ..] => Ok(indexed[usize::from(first - 0x88)]),
            [_, 0x03, a, b, c, ..] => Ok(std::str::from_utf8(&[*a, *b, *c])?.parse()?),
            // Huffman: digits 0, 1 and 2 take five bits, the others six (RFC 7541 B).
            [_, length @ 0x82..=0x83, rest @ ..] => {
                huffman_digits(&rest[..usize::from(length & 0x7f).min(rest.len())])
            }
            other => bail!("an unknown form of :status in {other:?}"),
        }
    }
}

/// A string literal without Huffman (RFC 7541 5.2), its length as an integer of a seven-bit prefix (5.1).
fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap_or(0));
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128).unwrap_or(0) | 128);
            length /= 128;
        }
        bytes.push(u8::try_from(length).unwrap_or(0));
    }
    bytes.extend_from_slice(text);
}

fn huffman_digits(bytes: &[u8]) -> Result<u16> {
    let bits: Vec<bool> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1 == 1)).collect();
    let (mut at, mut value) = (0, 0u16);
    for _ in 0..3 {
        let take = |length: usize| {
            bits.get(at..at + length).map(|b| b.iter().fold(0u16, |v, b| v << 1 | u16::from(*b)))
        };
        match (take(5), take(6)) {
            (Some(short @ 0..=2), _) => (value, at) = (value * 10 + short, at + 5),
            (_, Some(long @ 0x19..=0x1f)) => (value, at) = (value * 10 + long - 0x19 + 3, at + 6),
            other => bail!("not a digit: {other:?}"),
        }
    }
    Ok(value)
}
