//! What of a head passes a proxy, and what may stand behind a body. Apart from the storage because these are
//! rules of HTTP, and the storage has none.

use super::{Fields, Known, KnownSet};
use crate::http::syntax::{has_token, tokens};

impl Fields {
    /// Removes what is meant for this connection only (RFC 9110 7.6.1): every field that `connection`
    /// nominates, and those that are hop-by-hop whether nominated or not. Called once per message, on
    /// the way in, so that no policy sees a field that will not be sent on.
    ///
    /// `te` is kept as exactly `trailers` if it allowed trailers, because trailers are passed on. With
    /// `upgrade` the `upgrade` field stays, for the exchange that is about to switch protocols.
    pub fn strip_hop_by_hop(&mut self, upgrade: bool) {
        if !self.names.meets(HOP_BY_HOP) {
            return;
        }
        let trailers = self.all_known(Known::Te).any(|value| has_token(value, b"trailers"));
        self.strip_nominated(upgrade);
        let doomed = if upgrade { HOP_BY_HOP.without(Known::Upgrade) } else { HOP_BY_HOP };
        for entry in self.index.iter_mut().filter(|entry| doomed.contains(entry.known)) {
            entry.removed = true;
        }
        self.gaps = true;
        self.names = self.names.minus(doomed);
        if trailers {
            self.push_legal(b"te", b"trailers");
        }
    }

    /// Removes the fields that the values of `connection` name.
    fn strip_nominated(&mut self, upgrade: bool) {
        for at in 0..self.index.len() {
            let connection = self.index[at];
            if connection.known != Known::Connection || connection.removed {
                continue;
            }
            for option in tokens(&self.lines[connection.value()]) {
                if upgrade && option.eq_ignore_ascii_case(b"upgrade") {
                    continue;
                }
                for entry in &mut self.index {
                    entry.removed |= self.lines[entry.name()].eq_ignore_ascii_case(option);
                }
                // A connection that nominates itself must not hide its further options.
                self.index[at].removed = false;
            }
        }
    }

    /// Fields that may not stand behind a body (RFC 9110 6.5.1): they frame or route the message, say who
    /// sends it, or tell how to read what was read already.
    pub const NEVER_TRAILERS: KnownSet = KnownSet::of(&[
        Known::Age,
        Known::Authorization,
        Known::CacheControl,
        Known::Connection,
        Known::ContentEncoding,
        Known::ContentLength,
        Known::ContentLengthLookalike,
        Known::ContentRange,
        Known::ContentType,
        Known::Cookie,
        Known::Date,
        Known::Expect,
        Known::Expires,
        Known::Forwarded,
        Known::Host,
        Known::Http2Settings,
        Known::IfMatch,
        Known::IfModifiedSince,
        Known::IfNoneMatch,
        Known::IfRange,
        Known::IfUnmodifiedSince,
        Known::KeepAlive,
        Known::Location,
        Known::MaxForwards,
        Known::Pragma,
        Known::ProxyAuthenticate,
        Known::ProxyAuthorization,
        Known::ProxyConnection,
        Known::Range,
        Known::RetryAfter,
        Known::SetCookie,
        Known::Te,
        Known::Trailer,
        Known::TransferEncoding,
        Known::TransferEncodingLookalike,
        Known::Upgrade,
        Known::Vary,
        Known::Via,
        Known::WwwAuthenticate,
        Known::XForwardedFor,
        Known::XForwardedHost,
        Known::XForwardedPort,
        Known::XForwardedProto,
        Known::XRealIp,
        Known::XRequestId,
    ]);

    /// Adds a field that came behind a body, if it may stand there. The name must be a token, the value
    /// legal.
    pub(crate) fn push_trailer(&mut self, name: &[u8], value: &[u8]) {
        self.push_legal(name, value);
        self.gaps |= self.index.pop_if(|entry| Fields::NEVER_TRAILERS.contains(entry.known)).is_some();
    }
}

/// Fields that never pass a proxy, nominated or not (RFC 9110 7.6.1, RFC 9113 8.2.2). The names with an
/// underscore mean nothing in HTTP, but a server that hands fields on as variables reads them as the
/// framing fields that they resemble.
const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::ContentLengthLookalike,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::TransferEncodingLookalike,
    Known::Upgrade,
]);
