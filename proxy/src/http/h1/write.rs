//! Heads and chunks, written in one pass. What frames a message or names its destination is written
//! from values, never copied from fields, so that what goes out means one thing only.

use super::framing::Framing;
use crate::http::fields::Fields;
use crate::http::head::{Method, RequestHead, ResponseHead};
use crate::http::known::{Known, KnownSet};

/// What the `connection` field says (RFC 9110 7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: HTTP/1.1 persists by itself.
    Implied,
    /// That the connection persists, for a client that speaks HTTP/1.0.
    KeepAlive,
    /// That it closes after this message.
    Close,
    /// That it switches protocols; the `upgrade` field goes out with it.
    Upgrade,
}

/// Fields that are written from values or meant for one connection only.
const NEVER_COPIED: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::ContentLength,
    Known::ContentLengthLookalike,
    Known::Host,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::TransferEncodingLookalike,
    Known::Upgrade,
]);

/// Appends the head of a request for an origin: origin form, `host` first, version 1.1.
///
/// A request whose content has inner codings ([`RequestHead::codings`]) says that it is the last one of
/// its connection, whatever `connection` is.
///
/// `te` is sent only if the head has it, which after [`Fields::strip_hop_by_hop`] means `trailers`.
/// [`Framing::UntilClose`] does not exist for requests and is written as [`Framing::Chunked`].
pub fn write_request(out: &mut Vec<u8>, head: &RequestHead, framing: Framing, connection: Connection) {
    let path = head.path_and_query();
    out.reserve(64 + path.len() + head.authority().len() + head.fields.byte_room());
    put(out, &[head.method.as_str(), " "]);
    match (&head.method, path) {
        (Method::Connect, _) => put(out, &[head.authority()]),
        (_, "") => put(out, &["/"]),
        _ => put(out, &[path]),
    }
    put(out, &[" HTTP/1.1\r\nhost: ", head.authority(), "\r\n"]);
    let framing = if framing == Framing::UntilClose { Framing::Chunked } else { framing };
    if framing == Framing::Chunked && !head.codings().is_empty() {
        put(out, &["transfer-encoding: ", head.codings(), ", chunked\r\n"]);
        return write_fields(out, &head.fields, Framing::None, Connection::Close);
    }
    write_fields(out, &head.fields, framing, connection);
}

/// Appends the head of a response, version 1.1 whatever the peer's (RFC 9110 2.5).
///
/// With [`Framing::None`] - a response to `HEAD`, 304, 204, 1xx - `content-length` of the fields is
/// passed on where it tells what a `GET` would have got. Every other response wants a framing.
pub fn write_response(out: &mut Vec<u8>, head: &ResponseHead, framing: Framing, connection: Connection) {
    out.reserve(64 + head.fields.byte_room());
    put(out, &["HTTP/1.1 "]);
    let status = head.status.clamp(100, 599);
    put_decimal(out, u64::from(status));
    put(out, &[" ", reason(status), "\r\n"]);
    if framing == Framing::None
        && status >= 200
        && status != 204
        && let Some(length) = head.fields.get_known(Known::ContentLength)
    {
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(length);
        out.extend_from_slice(b"\r\n");
    }
    write_fields(out, &head.fields, framing, connection);
}

/// The fields, those of framing and connection, and the empty line.
fn write_fields(out: &mut Vec<u8>, fields: &Fields, framing: Framing, connection: Connection) {
    let upgrades = connection == Connection::Upgrade;
    fields.write_lines(if upgrades { NEVER_COPIED.without(Known::Upgrade) } else { NEVER_COPIED }, out);
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Chunked => put(out, &["transfer-encoding: chunked\r\n"]),
        Framing::Length(length) => {
            put(out, &["content-length: "]);
            put_decimal(out, length);
            put(out, &["\r\n"]);
        }
    }
    // `te` is for the next hop only, so `connection` must name it (RFC 9110 10.1.4).
    let te = fields.get_known(Known::Te).is_some();
    put(
        out,
        &[match (connection, te) {
            (Connection::Implied, false) => "\r\n",
            (Connection::Implied, true) => "connection: te\r\n\r\n",
            (Connection::KeepAlive, false) => "connection: keep-alive\r\n\r\n",
            (Connection::KeepAlive, true) => "connection: keep-alive, te\r\n\r\n",
            (Connection::Close, false) => "connection: close\r\n\r\n",
            (Connection::Close, true) => "connection: close, te\r\n\r\n",
            (Connection::Upgrade, false) => "connection: upgrade\r\n\r\n",
            (Connection::Upgrade, true) => "connection: upgrade, te\r\n\r\n",
        }],
    );
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn put_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// The line before a chunk's data, for a writer that sends the data from where it lies.
#[derive(Debug, Clone, Copy)]
pub struct ChunkHead {
    line: [u8; 18],
    from: usize,
}

impl ChunkHead {
    /// Size in hexadecimal, CR, LF.
    pub fn as_bytes(&self) -> &[u8] {
        &self.line[self.from..]
    }
}

/// The line before a chunk of `size` bytes. After the data follow CR and LF. A chunk of 0 bytes would
/// end the body: never send one but by [`write_last_chunk`].
pub fn chunk_head(size: usize) -> ChunkHead {
    let mut line = *b"0000000000000000\r\n";
    let mut from = 16;
    let mut rest = size;
    loop {
        from -= 1;
        line[from] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
        if rest == 0 {
            return ChunkHead { line, from };
        }
    }
}

/// Appends a chunk; nothing if there is no data, because an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.reserve(data.len() + 20);
    out.extend_from_slice(chunk_head(data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body, with trailers. Fields that may not be trailers are left out
/// (RFC 9110 6.5.1).
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    trailers.write_lines(Fields::NEVER_TRAILERS, out);
    out.extend_from_slice(b"\r\n");
}
