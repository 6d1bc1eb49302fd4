//! A response as a client saw it, whatever the protocol, read strictly.

use anyhow::{Context, Result, bail, ensure};

use crate::wire::{Head, Wire};

/// How the end of a body was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// None was possible (HEAD, 1xx, 204, 304).
    None,
    /// By `content-length`.
    Length,
    /// By the chunked coding.
    Chunked,
    /// By the end of the connection.
    Close,
    /// By HTTP/2's END_STREAM.
    Stream,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    /// 200 to 599, or 101.
    pub status: u16,
    /// Statuses of the interim responses before it.
    pub interim: Vec<u16>,
    /// In order; names as received.
    pub fields: Vec<(String, Vec<u8>)>,
    /// How the body ended.
    pub framing: Framing,
    /// Without its coding.
    pub body: Vec<u8>,
    /// After the body.
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Response {
    /// Reads the final response to a request of `method`, and the interim ones before it.
    pub async fn read(wire: &mut Wire, method: &str) -> Result<Self> {
        let mut interim = Vec::new();
        let (status, head) = loop {
            let head = wire.head().await?.context("the connection ended before a response")?;
            let status = status(&head)?;
            if status == 101 || status >= 200 {
                break (status, head);
            }
            ensure!(head.length()?.is_none() && !head.chunked()?, "an interim response with a body");
            interim.push(status);
        };
        let (framing, body, trailers) = read_body(wire, &head, status, method).await?;
        Ok(Self { status, interim, fields: head.fields, framing, body, trailers })
    }

    /// The first field called `name`, as text.
    pub fn field(&self, name: &str) -> Option<&str> {
        first(&self.fields, name)
    }

    /// How many fields are called `name`.
    pub fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count()
    }

    /// The first trailer called `name`, as text.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        first(&self.trailers, name)
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} is not JSON: {:?}", self.status, self.text()))
    }

    /// Whether the connection is to be closed after it (HTTP/1.1).
    pub fn closes(&self) -> bool {
        let close = |v: &[u8]| v.split(|b| *b == b',').any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close"));
        self.framing == Framing::Close
            || self.fields.iter().any(|(n, v)| n.eq_ignore_ascii_case("connection") && close(v))
    }
}

/// RFC 9112 4: `HTTP-version SP status-code SP [reason]`.
fn status(head: &Head) -> Result<u16> {
    let line = &head.start;
    let Some(rest) = line.strip_prefix("HTTP/1.1 ") else { bail!("status line {line:?}") };
    let (code, after) = rest.split_at_checked(3).with_context(|| format!("status line {line:?}"))?;
    ensure!(code.bytes().all(|b| b.is_ascii_digit()) && after.starts_with(' '), "status line {line:?}");
    let status = code.parse()?;
    ensure!((100..600).contains(&status), "status {status}");
    Ok(status)
}

type Fields = Vec<(String, Vec<u8>)>;

/// RFC 9112 6.3.
async fn read_body(
    wire: &mut Wire,
    head: &Head,
    status: u16,
    method: &str,
) -> Result<(Framing, Vec<u8>, Fields)> {
    let (chunked, length) = (head.chunked()?, head.length()?);
    if status == 101 || status == 204 {
        ensure!(!chunked && length.is_none(), "{status} with a framing field");
    }
    if method == "HEAD" || matches!(status, 101 | 204 | 304) || (method == "CONNECT" && status < 300) {
        return Ok((Framing::None, Vec::new(), Vec::new()));
    }
    if chunked {
        let (body, trailers) = wire.chunked().await?;
        return Ok((Framing::Chunked, body, trailers));
    }
    if let Some(length) = length {
        return Ok((Framing::Length, wire.exactly(length).await?, Vec::new()));
    }
    Ok((Framing::Close, wire.to_end().await?, Vec::new()))
}

fn first<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}
