//! What can go wrong with an exchange, and the one table that says what follows.
//!
//! Each failure names what failed and on which side, whether another attempt is allowed, the status the
//! caller sees, the `Proxy-Status` error type (RFC 9209 2.3) and the reason that logs and metrics count.

use std::{borrow::Cow, fmt};

/// Why the proxy answered an exchange itself, or broke it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Failure {
    /// The request is malformed (RFC 9112, 9113).
    BadRequest,
    /// The request's head is larger than the listener allows.
    HeadTooLarge,
    /// The request's target is longer than the listener allows.
    TargetTooLong,
    /// A transfer coding that is not known (RFC 9112 6.1).
    UnknownCoding,
    /// A version of HTTP that is not spoken here.
    UnknownVersion,
    /// An expectation other than `100-continue` (RFC 9110 10.1.1).
    ExpectationFailed,
    /// The request's head did not arrive in time.
    HeadTimeout,
    /// The request's body did not arrive in time.
    BodyTimeout,
    /// The request's body is larger than the listener or a filter allows.
    BodyTooLarge,
    /// A method or form that this proxy does not forward.
    NotImplemented,
    /// No filter chose a cluster, and the listener has none of its own.
    NoRoute,
    /// The proxy goes down.
    Draining,
    /// The process takes more memory than config allows.
    Overload,
    /// No endpoint of the cluster carries the labels that were asked for.
    NoEndpoint,
    /// The cluster's limit of exchanges is reached.
    RequestLimit,
    /// The cluster's limit of waiting exchanges is reached.
    PendingLimit,
    /// The endpoint refused the connection.
    ConnectRefused,
    /// The endpoint did not take the connection in time.
    ConnectTimeout,
    /// The connection to the endpoint failed in another way.
    ConnectFailed,
    /// The TLS handshake with the endpoint failed.
    UpstreamTls,
    /// The endpoint closed or reset before it answered.
    UpstreamClosed,
    /// The endpoint's answer is not legal HTTP.
    UpstreamProtocol,
    /// The endpoint's head is larger than the cluster allows.
    UpstreamHeadTooLarge,
    /// The exchange's time was over before the endpoint answered.
    ExchangeTimeout,
    /// The endpoint did not answer within what one attempt may take.
    AttemptTimeout,
    /// The caller had said how long it waits, and that was over before the endpoint answered.
    CallerDeadline,
    /// The endpoint stopped in the middle of its answer.
    UpstreamAborted,
    /// A filter failed, and config says that this denies.
    FilterFault,
    /// A filter asked more often than allowed.
    FilterAskedTooOften,
    /// The caller left.
    DownstreamAborted,
    /// The caller did not take the response in time.
    WriteTimeout,
    /// Nothing moved through a tunnel or a TCP connection for too long.
    TunnelIdle,
}

/// The row of one failure.
#[derive(Debug, Clone, Copy)]
pub struct Consequence {
    /// What the caller sees; 0 when nothing can be sent any more.
    pub status: u16,
    /// RFC 9209 2.3 error type.
    pub proxy_status: &'static str,
    /// The label in metrics and the access log.
    pub reason: &'static str,
    /// Another attempt may be made: nothing was sent.
    pub retry: bool,
}

impl Failure {
    /// All of them, for metrics and documents.
    pub const ALL: [Self; 32] = [
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::TargetTooLong,
        Self::UnknownCoding,
        Self::UnknownVersion,
        Self::ExpectationFailed,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::NotImplemented,
        Self::NoRoute,
        Self::Draining,
        Self::Overload,
        Self::NoEndpoint,
        Self::RequestLimit,
        Self::PendingLimit,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::UpstreamTls,
        Self::UpstreamClosed,
        Self::UpstreamProtocol,
        Self::UpstreamHeadTooLarge,
        Self::ExchangeTimeout,
        Self::AttemptTimeout,
        Self::CallerDeadline,
        Self::UpstreamAborted,
        Self::FilterFault,
        Self::FilterAskedTooOften,
        Self::DownstreamAborted,
        Self::WriteTimeout,
        Self::TunnelIdle,
    ];

    /// What follows from it.
    pub const fn consequence(self) -> Consequence {
        let (status, proxy_status, reason, retry) = match self {
            Self::BadRequest => (400, "http_request_error", "bad_request", false),
            Self::HeadTooLarge => (431, "http_request_error", "head_too_large", false),
            Self::TargetTooLong => (414, "http_request_error", "target_too_long", false),
            Self::UnknownCoding => (501, "http_request_error", "unknown_coding", false),
            Self::UnknownVersion => (505, "http_request_error", "unknown_version", false),
            Self::ExpectationFailed => (417, "http_request_error", "expectation_failed", false),
            Self::HeadTimeout => (408, "http_request_error", "head_timeout", false),
            Self::BodyTimeout => (408, "http_request_error", "body_timeout", false),
            Self::BodyTooLarge => (413, "http_request_error", "body_too_large", false),
            Self::NotImplemented => (501, "http_request_denied", "not_implemented", false),
            Self::NoRoute => (404, "destination_not_found", "no_route", false),
            Self::Draining => (503, "proxy_internal_response", "draining", false),
            Self::Overload => (503, "proxy_internal_response", "overload", false),
            Self::NoEndpoint => (503, "destination_unavailable", "no_endpoint", false),
            Self::RequestLimit => (503, "connection_limit_reached", "request_limit", false),
            Self::PendingLimit => (503, "connection_limit_reached", "pending_limit", false),
            Self::ConnectRefused => (503, "connection_refused", "connect_refused", true),
            Self::ConnectTimeout => (503, "connection_timeout", "connect_timeout", true),
            Self::ConnectFailed => (503, "destination_unavailable", "connect_failed", true),
            Self::UpstreamTls => (503, "tls_protocol_error", "upstream_tls", true),
            Self::UpstreamClosed => (502, "connection_terminated", "upstream_closed", false),
            Self::UpstreamProtocol => (502, "http_protocol_error", "upstream_protocol", false),
            Self::UpstreamHeadTooLarge => {
                (502, "http_response_header_section_size", "upstream_head_too_large", false)
            }
            Self::ExchangeTimeout => (504, "http_response_timeout", "exchange_timeout", false),
            Self::AttemptTimeout => (504, "http_response_timeout", "attempt_timeout", false),
            Self::CallerDeadline => (504, "http_response_timeout", "caller_deadline", false),
            Self::UpstreamAborted => (502, "http_response_incomplete", "upstream_aborted", false),
            Self::FilterFault => (500, "proxy_internal_error", "filter_fault", false),
            Self::FilterAskedTooOften => (500, "proxy_internal_error", "filter_asked_too_often", false),
            Self::DownstreamAborted => (0, "proxy_internal_error", "downstream_aborted", false),
            Self::WriteTimeout => (0, "proxy_internal_error", "write_timeout", false),
            Self::TunnelIdle => (0, "connection_timeout", "tunnel_idle", false),
        };
        Consequence { status, proxy_status, reason, retry }
    }

    /// Whether the caller is to blame for an exchange that was broken off.
    pub const fn is_callers(self) -> bool {
        matches!(self, Self::DownstreamAborted | Self::WriteTimeout)
    }

    /// Whether a caller's HTTP/1.1 connection is of no use after it: the rest of the request will not be read.
    pub const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::Overload
                | Self::HeadTooLarge
                | Self::UnknownCoding
                | Self::BodyTimeout
                | Self::BodyTooLarge
                | Self::NotImplemented
        )
    }

    /// The label in metrics and the access log.
    pub const fn reason(self) -> &'static str {
        self.consequence().reason
    }
}

/// A failure, with what an operator wants to know besides.
#[derive(Debug, Clone)]
pub struct Error {
    /// What failed.
    pub failure: Failure,
    /// For people: never holds values of a message.
    pub detail: Cow<'static, str>,
}

impl Error {
    /// A failure with a fixed explanation.
    pub const fn new(failure: Failure, detail: &'static str) -> Self {
        Self { failure, detail: Cow::Borrowed(detail) }
    }

    /// A failure with an explanation made for it.
    pub fn with(failure: Failure, detail: String) -> Self {
        Self { failure, detail: Cow::Owned(detail) }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure, "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.failure.reason())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct_and_statuses_are_errors() {
        let mut seen = std::collections::HashSet::new();
        for failure in Failure::ALL {
            let row = failure.consequence();
            assert!(seen.insert(row.reason), "{} occurs twice", row.reason);
            assert!(row.status == 0 || (400..600).contains(&row.status), "{failure:?}");
        }
    }
}
