//! HTTP/1.1 messages as bytes: strict reading for clients and scripted origins.
//!
//! Written apart from the proxy's own codec, from RFC 9112 alone, so that an error there is not repeated
//! here. It refuses whatever the RFC does not allow a sender to send.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Stream, within};

/// No test sends more than this in one piece; beyond it a peer runs wild.
const LARGEST: usize = 64 * 1024 * 1024;

/// A start line and its fields, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Without CRLF.
    pub start: String,
    /// Names as written, values without surrounding white space.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// The values of every field called `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice())
    }

    /// Whether the message says that its body is chunked.
    pub fn chunked(&self) -> Result<bool> {
        let codings: Vec<_> = self.all("transfer-encoding").collect();
        ensure!(codings.len() <= 1, "{} transfer-encoding fields", codings.len());
        let Some(coding) = codings.first() else { return Ok(false) };
        let (inner, last) = match coding.iter().rposition(|byte| *byte == b',') {
            Some(comma) => (coding[..comma].split(|byte| *byte == b',').collect(), &coding[comma + 1..]),
            None => (Vec::new(), *coding),
        };
        // RFC 9112 7.2: what is registered may lie beneath.
        let known = |coding: &&[u8]| matches!(coding.trim_ascii(), b"gzip" | b"deflate" | b"compress");
        ensure!(
            last.trim_ascii().eq_ignore_ascii_case(b"chunked") && inner.iter().all(known),
            "transfer-encoding {:?}",
            String::from_utf8_lossy(coding)
        );
        ensure!(self.all("content-length").next().is_none(), "transfer-encoding beside content-length");
        Ok(true)
    }

    /// The body's length, if the message says it.
    pub fn length(&self) -> Result<Option<usize>> {
        let lengths: Vec<_> = self.all("content-length").collect();
        ensure!(lengths.len() <= 1, "{} content-length fields", lengths.len());
        let Some(length) = lengths.first() else { return Ok(None) };
        ensure!(!length.is_empty() && length.iter().all(u8::is_ascii_digit), "content-length {length:?}");
        let length: usize = std::str::from_utf8(length)?.parse()?;
        ensure!(length <= LARGEST, "content-length {length}");
        Ok(Some(length))
    }
}

/// A stream that is read message by message, and remembers all it received.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    received: Vec<u8>,
    /// How much of `received` was given out.
    taken: usize,
}

impl Wire {
    /// Nothing is read yet.
    pub fn new(stream: Stream) -> Self {
        Self { stream, received: Vec::new(), taken: 0 }
    }

    /// Every byte received so far.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Forgets the bytes that were given out already, so that a long connection stays small.
    pub fn forget(&mut self) {
        self.received.drain(..std::mem::take(&mut self.taken));
    }

    /// The stream below.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Takes the wire apart, giving the stream; bytes read ahead are lost.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Writes all of `bytes`.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        within("writing", async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await?
        .context("writing")
    }

    /// Writes until all of `bytes` is out or the peer takes nothing for 200 ms. None: the stream is over.
    pub(crate) async fn write_some(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut written = 0;
        while written < bytes.len() {
            let once = self.stream.write(&bytes[written..]);
            match tokio::time::timeout(std::time::Duration::from_millis(200), once).await {
                Ok(Ok(n)) if n > 0 => written += n,
                Ok(_) => return None,
                Err(_) => break,
            }
        }
        Some(written)
    }

    /// Says that nothing more will be written (FIN), and goes on reading.
    pub async fn finish(&mut self) -> Result<()> {
        within("ending the writing side", self.stream.shutdown()).await?.context("ending the writing side")
    }

    /// The next head; none when the peer ended the stream orderly before its first byte.
    pub async fn head(&mut self) -> Result<Option<Head>> {
        let end = loop {
            if let Some(at) = find(&self.received[self.taken..], b"\r\n\r\n") {
                break self.taken + at + 4;
            }
            if self.fill("a head").await? == 0 {
                ensure!(
                    self.taken == self.received.len(),
                    "the stream ended within a head: {:?}",
                    self.rest_text()
                );
                return Ok(None);
            }
        };
        let head = parse_head(&self.received[self.taken..end - 2])?;
        self.taken = end;
        Ok(Some(head))
    }

    /// As [`Self::head`], but an origin may have to wait for a request as long as its test lasts.
    pub(crate) async fn head_however_late(&mut self) -> Result<Option<Head>> {
        if self.taken == self.received.len() {
            self.read_some().await?;
        }
        if self.taken == self.received.len() {
            return Ok(None);
        }
        self.head().await
    }

    /// Exactly `length` bytes.
    pub async fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.received.len() - self.taken < length {
            let have = self.received.len() - self.taken;
            ensure!(self.fill("a body").await? > 0, "the stream ended after {have} of {length} bytes");
        }
        let bytes = self.received[self.taken..self.taken + length].to_vec();
        self.taken += length;
        Ok(bytes)
    }

    /// Everything until the peer ends the stream.
    pub async fn to_end(&mut self) -> Result<Vec<u8>> {
        while self.fill("the end of the stream").await? > 0 {}
        Ok(self.received[std::mem::replace(&mut self.taken, self.received.len())..].to_vec())
    }

    /// Sends everything back until the peer ends its side, and then ends its own. What was read ahead goes first.
    pub async fn echo(mut self) -> Result<()> {
        loop {
            let ahead = self.received.split_off(self.taken);
            self.write(&ahead).await?;
            self.received.clear();
            self.taken = 0;
            if self.read_some().await? == 0 {
                return self.finish().await;
            }
        }
    }

    /// A chunked body and its trailers (RFC 9112 7.1).
    pub async fn chunked(&mut self) -> Result<(Vec<u8>, Vec<(String, Vec<u8>)>)> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default();
            ensure!(
                !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()),
                "chunk size {line:?}"
            );
            let size = usize::from_str_radix(digits, 16).context("chunk size")?;
            ensure!(body.len() + size <= LARGEST, "a body of more than {LARGEST} bytes");
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size).await?);
            ensure!(self.exactly(2).await? == b"\r\n", "no CRLF after a chunk");
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok((body, trailers));
            }
            trailers.push(parse_field(line.as_bytes())?);
        }
    }

    async fn line(&mut self) -> Result<String> {
        let end = loop {
            if let Some(at) = find(&self.received[self.taken..], b"\r\n") {
                break self.taken + at;
            }
            ensure!(self.received.len() - self.taken < 64 * 1024, "a line without end");
            ensure!(self.fill("a line").await? > 0, "the stream ended within a line: {:?}", self.rest_text());
        };
        let line = std::str::from_utf8(&self.received[self.taken..end])?.to_owned();
        ensure!(!line.contains(['\r', '\n']), "a bare CR or LF in {line:?}");
        self.taken = end + 2;
        Ok(line)
    }

    /// Reads some more. 0: the peer ended the stream.
    async fn fill(&mut self, what: &str) -> Result<usize> {
        within(what, self.read_some()).await?.with_context(|| format!("reading {what}"))
    }

    /// Reads some more, without a deadline. 0: the peer ended the stream.
    pub(crate) async fn read_some(&mut self) -> Result<usize> {
        ensure!(self.received.len() < 2 * LARGEST, "more than {} bytes", 2 * LARGEST);
        match self.stream.read_buf(&mut self.received).await {
            // rustls reports an end without close_notify; to a test of HTTP it is an end like another.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
            other => Ok(other?),
        }
    }

    fn rest_text(&self) -> String {
        String::from_utf8_lossy(&self.received[self.taken..]).chars().take(400).collect()
    }
}

/// `bytes`: start line and field lines, each with its CRLF.
fn parse_head(bytes: &[u8]) -> Result<Head> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(at) = find(rest, b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    ensure!(rest.is_empty(), "a line without CRLF: {:?}", String::from_utf8_lossy(rest));
    let Some((start, fields)) = lines.split_first() else { bail!("an empty head") };
    let start = String::from_utf8(start.to_vec()).context("start line")?;
    ensure!(!start.is_empty() && !start.contains(['\r', '\n', '\0']), "start line {start:?}");
    Ok(Head { start, fields: fields.iter().map(|line| parse_field(line)).collect::<Result<_>>()? })
}

fn parse_field(line: &[u8]) -> Result<(String, Vec<u8>)> {
    let shown = String::from_utf8_lossy(line);
    let Some(colon) = line.iter().position(|b| *b == b':') else { bail!("a field without colon: {shown:?}") };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    ensure!(!name.is_empty() && name.iter().all(token), "field name of {shown:?}");
    ensure!(!value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')), "field value of {shown:?}");
    Ok((String::from_utf8(name.to_vec())?, value.to_vec()))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
