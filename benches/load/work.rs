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
    /// HTTP/1.1, 8 connections, bodies of 10 MiB.
    Body,
}

impl Work {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H1_10k => "h1-10k",
            Self::H2c => "h2c",
            Self::Tls => "tls",
            Self::TlsNew => "tls-new",
            Self::Body => "body",
        }
    }

    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::H1 | Self::H1_10k | Self::Body => Wire::H1,
            Self::H2c => Wire::H2c,
            Self::Tls => Wire::Tls,
            Self::TlsNew => Wire::TlsNew,
        }
    }

    /// Bytes of an answer's body.
    pub(crate) fn body(self) -> usize {
        match self {
            Self::H1_10k => 10 * 1024,
            Self::Body => 10 * 1024 * 1024,
            _ => 128,
        }
    }

    /// Connections, and requests at a time on each.
    pub(crate) fn width(self) -> (usize, usize) {
        match self {
            Self::H2c => (4, 16),
            Self::Body | Self::TlsNew => (8, 1),
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
