//! What may stand in a request target and an authority (RFC 3986, RFC 9110 4.2 and 7.1), for every
//! codec and for policies that set them.
//!
//! Everything that RFC 3986 allows is accepted. Beyond it, and only where all servers agree on the
//! meaning, what clients are known to send unescaped: `[ ] ^ | { }` in a path, and also `"` `\` and
//! backtick in a query. Refused are control bytes, space, bytes beyond ASCII, `#` (a fragment is never
//! sent, RFC 9110 7.1), `<` and `>`, a backslash in a path (some servers read it as a slash), and in a
//! path a `%` without two hex digits (servers disagree on it, and a path decides on access).

/// Splits a legal absolute path with optional query: the text, and where its "?" stands.
pub(super) fn path_and_query(text: &[u8]) -> Option<(&str, Option<usize>)> {
    if text.first() != Some(&b'/') {
        return None;
    }
    let path_end = text.iter().position(|&byte| !is(byte, PATH)).unwrap_or(text.len());
    let query_at = match text.get(path_end) {
        None => None,
        Some(b'?') if text[path_end..].iter().all(|&byte| is(byte, QUERY)) => Some(path_end),
        Some(_) => return None,
    };
    if !escapes_are_whole(&text[..path_end]) {
        return None;
    }
    Some((std::str::from_utf8(text).ok()?, query_at))
}

/// The text, if it is empty, `host` or `host:port`. The host is an IPv6 address in brackets or a
/// registered name, which includes IPv4 addresses (RFC 3986 3.2.2); the port may be empty.
pub(super) fn authority(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = split_port(text)?;
    let legal_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(|byte| is(byte, NAME)) && escapes_are_whole(host.as_bytes()),
    };
    let legal_port = port.is_empty() || port.parse::<u16>().is_ok() && !port.starts_with('+');
    // ":80" names no host at all.
    let named = !host.is_empty() || text.is_empty();
    (legal_host && legal_port && named).then_some(text)
}

/// Host and port of an authority; the port is empty if none is named.
pub(super) fn split_port(text: &str) -> Option<(&str, &str)> {
    let host_end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    match text[host_end..].strip_prefix(':') {
        Some(port) => Some((&text[..host_end], port)),
        None if host_end == text.len() => Some((text, "")),
        None => None,
    }
}

/// Whether each `%` is followed by two hex digits (RFC 3986 2.1).
fn escapes_are_whole(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).all(|at| {
        matches!(text.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    })
}

const PATH: u8 = 1;
const QUERY: u8 = 2;
const NAME: u8 = 4;

fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// Which bytes may stand where.
static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = PATH | QUERY | NAME;
        }
        byte += 1;
    }
    // Unreserved, sub-delims and the percent sign of an escape (RFC 3986 2.1 to 2.3).
    let table = allow(table, b"-._~!$&'()*+,;=%", PATH | QUERY | NAME);
    let table = allow(table, b":@/[]^|{}", PATH | QUERY);
    allow(table, b"?\"\\`", QUERY)
};

const fn allow(mut table: [u8; 256], bytes: &[u8], classes: u8) -> [u8; 256] {
    let mut i = 0;
    while i < bytes.len() {
        table[bytes[i] as usize] |= classes;
        i += 1;
    }
    table
}
