//! What is logged of an exchange.

use super::{
    json::{self, Object},
    time,
};
use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

/// Facts of one exchange that are logged.
const FACTS_MAX: usize = 16;

/// One exchange, or one TCP connection, as far as it is logged. What is absent is left out of the line.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// When its head was complete, in Unix milliseconds.
    pub time_unix_ms: u64,
    /// A connection of which only bytes are known: what only exchanges have is left out.
    pub tcp: bool,
    /// The listener's name.
    pub listener: &'a str,
    /// The caller's address; none on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Where a captured connection was going.
    pub destination: Option<SocketAddr>,
    /// The URI in the caller's certificate.
    pub identity: Option<&'a str>,
    /// The name that a connection asked for in TLS; of TCP connections only.
    pub sni: Option<&'a str>,
    /// As received.
    pub method: &'a [u8],
    /// As received.
    pub authority: &'a [u8],
    /// As received. Only what is before "?" is logged: queries carry tokens and signatures.
    pub path: &'a [u8],
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`; `TCP`, or `TLS` that passes.
    pub protocol: &'a str,
    /// 0: no response was begun.
    pub status: u16,
    /// Why the proxy answered itself or broke off, if it did.
    pub reason: Option<&'a str>,
    /// The filter that answered, if one did.
    pub filter: Option<&'a str>,
    /// The route's name, if a filter gave one.
    pub route: Option<&'a str>,
    /// The cluster's name.
    pub cluster: Option<&'a str>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<&'a str>,
    /// Requests sent upstream.
    pub attempts: u8,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// From the request's head to the end of the response.
    pub duration_us: u64,
    /// From the last attempt's begin to the head of its response.
    pub upstream_us: Option<u64>,
    /// The exchange's id.
    pub request_id: &'a str,
    /// The trace it belongs to: 32 hexadecimal digits.
    pub trace_id: Option<&'a str>,
    /// What filters learned, by name. At most 16 are logged.
    pub facts: &'a [(&'a str, &'a str)],
    /// What else happened.
    pub flags: Flags,
}

/// What happened to an exchange besides its outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// The caller broke off.
    pub downstream_aborted: bool,
    /// The origin broke off.
    pub upstream_aborted: bool,
    /// A filter failed and config let the exchange go on.
    pub filter_skipped: bool,
    /// A remembered decision was used.
    pub remembered: bool,
    /// The connection had become something else (WebSocket, CONNECT).
    pub upgraded: bool,
}

impl Flags {
    fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.downstream_aborted, "downstream_aborted"),
            (self.upstream_aborted, "upstream_aborted"),
            (self.filter_skipped, "filter_skipped"),
            (self.remembered, "remembered"),
            (self.upgraded, "upgraded"),
        ];
        all.into_iter().filter_map(|(set, name)| set.then_some(name))
    }
}

impl Record<'_> {
    /// Appends the line, its end included.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut line = Object::begin(out);
        self.write_request(&mut line);
        self.write_response(&mut line);
        self.write_upstream(&mut line);
        self.write_rest(&mut line);
        line.end();
        out.push(b'\n');
    }

    fn write_request(&self, line: &mut Object<'_>) {
        let time = line.member("time");
        time.push(b'"');
        time::write(self.time_unix_ms, time);
        time.push(b'"');
        line.string("listener", self.listener.as_bytes());
        if let Some(peer) = self.peer {
            address(peer, line.member("peer"));
        }
        if let Some(destination) = self.destination {
            // Writing to memory does not fail.
            let _ = write!(line.member("destination"), "\"{destination}\"");
        }
        line.some("identity", self.identity);
        line.some("sni", self.sni);
        if !self.tcp {
            line.string("method", self.method);
            line.string("authority", self.authority);
            line.string("path", without_query(self.path));
        }
        line.string("protocol", self.protocol.as_bytes());
    }

    fn write_response(&self, line: &mut Object<'_>) {
        if !self.tcp {
            line.number("status", self.status.into());
        }
        line.some("reason", self.reason);
        line.some("filter", self.filter);
        line.number("bytes_in", self.bytes_in);
        line.number("bytes_out", self.bytes_out);
        line.number("duration_us", self.duration_us);
    }

    fn write_upstream(&self, line: &mut Object<'_>) {
        line.some("route", self.route);
        line.some("cluster", self.cluster);
        line.some("endpoint", self.endpoint);
        line.number("attempts", self.attempts.into());
        if let Some(upstream) = self.upstream_us {
            line.number("upstream_us", upstream);
        }
    }

    fn write_rest(&self, line: &mut Object<'_>) {
        if !self.tcp {
            line.string("request_id", self.request_id.as_bytes());
        }
        line.some("trace_id", self.trace_id);
        if !self.facts.is_empty() {
            let mut facts = Object::begin(line.member("facts"));
            self.facts.iter().take(FACTS_MAX).for_each(|(name, value)| facts.foreign(name, value));
            facts.end();
        }
        if self.flags != Flags::default() {
            let out = line.member("flags");
            for (position, flag) in self.flags.names().enumerate() {
                out.push(if position == 0 { b'[' } else { b',' });
                json::string(flag.as_bytes(), out);
            }
            out.push(b']');
        }
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    match memchr::memchr(b'?', path) {
        Some(at) => &path[..at],
        None => path,
    }
}

fn address(peer: IpAddr, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to memory does not fail.
    let _ = write!(out, "\"{peer}\"");
}
