//! The works: what is asked of every subject.

use clap::ValueEnum;
use serde::Serialize;

/// What is spoken with the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wire {
    /// HTTP/1.1, connections kept.
    H1,
    /// HTTP/2 without TLS.
    H2c,
    /// HTTP/1.1 over TLS, connections kept.
    Tls,
    /// HTTP/1.1 over TLS, a connection for every request, never resumed.
    TlsNew,
    /// As `Tls`, and callers show a certificate.
    Mtls,
    /// As `TlsNew`, and callers show a certificate.
    MtlsNew,
    /// Messages of a WebSocket that come back.
    Websocket,
    /// Bytes that come back.
    Echo,
}

impl Wire {
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsNew) || self.is_mutual()
    }

    /// Both sides show a certificate.
    pub(crate) fn is_mutual(self) -> bool {
        matches!(self, Self::Mtls | Self::MtlsNew)
    }

    /// A connection for every request.
    pub(crate) fn is_anew(self) -> bool {
        matches!(self, Self::TlsNew | Self::MtlsNew)
    }
}

/// A work, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// HTTP/1.1 kept alive, 64 connections, bodies of 128 bytes.
    H1,
    /// The same with bodies of 10 KiB.
    H1_10k,
    /// HTTP/2 without TLS, 4 connections of 16 streams, bodies of 128 bytes.
    H2c,
    /// HTTP/1.1 over TLS 1.3, 64 connections kept, bodies of 128 bytes.
    Tls,
    /// A whole TLS 1.3 handshake for every request.
    TlsNew,
    /// As `Tls`, with certificates on both sides of the proxy: its callers show one, and so does it to its endpoints.
    Mtls,
    /// The same, and a whole handshake of its callers for every request.
    MtlsNew,
    /// HTTP/1.1, 8 connections, bodies of 10 MiB.
    Body,
    /// 64 WebSockets, messages of 128 bytes that come back.
    Websocket,
    /// As `Body`, but the proxy passes bytes on and knows no HTTP.
    Tcp,
    /// 64 connections of plain TCP, messages of 128 bytes that come back.
    TcpEcho,
}

impl Work {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H1_10k => "h1-10k",
            Self::H2c => "h2c",
            Self::Tls => "tls",
            Self::TlsNew => "tls-new",
            Self::Mtls => "mtls",
            Self::MtlsNew => "mtls-new",
            Self::Body => "body",
            Self::Websocket => "websocket",
            Self::Tcp => "tcp",
            Self::TcpEcho => "tcp-echo",
        }
    }

    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::H1 | Self::H1_10k | Self::Body | Self::Tcp => Wire::H1,
            Self::H2c => Wire::H2c,
            Self::Tls => Wire::Tls,
            Self::TlsNew => Wire::TlsNew,
            Self::Mtls => Wire::Mtls,
            Self::MtlsNew => Wire::MtlsNew,
            Self::Websocket => Wire::Websocket,
            Self::TcpEcho => Wire::Echo,
        }
    }

    /// Whether the proxy is to pass bytes on, whatever they are.
    pub(crate) fn is_relay(self) -> bool {
        matches!(self, Self::Tcp | Self::TcpEcho)
    }

    /// What is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Websocket | Self::TcpEcho => "message",
            _ => "request",
        }
    }

    /// Bytes of an answer's body.
    pub(crate) fn body(self) -> usize {
        match self {
            Self::H1_10k => 10 * 1024,
            Self::Body | Self::Tcp => 10 * 1024 * 1024,
            _ => 128,
        }
    }

    /// Connections, and requests at a time on each.
    pub(crate) fn width(self) -> (usize, usize) {
        match self {
            Self::H2c => (4, 16),
            Self::Body | Self::Tcp | Self::TlsNew | Self::MtlsNew => (8, 1),
            _ => (64, 1),
        }
    }
}

/// Policies on every request, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policies {
    /// None: one listener, one cluster.
    None,
    /// One that does nothing, on every request.
    Noop,
    /// A route by path prefix.
    Router,
    /// A token, seen before.
    Jwt,
    /// Nine to one between two versions, sticky by a field.
    Canary,
    /// A breaker that stays closed.
    Breaker,
    /// Router, token, canary and breaker.
    Four,
}

impl Policies {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Noop => "noop",
            Self::Router => "router",
            Self::Jwt => "jwt",
            Self::Canary => "canary",
            Self::Breaker => "breaker",
            Self::Four => "four",
        }
    }

    /// Whether requests must carry a token.
    pub(crate) fn token(self) -> bool {
        matches!(self, Self::Jwt | Self::Four)
    }
}
