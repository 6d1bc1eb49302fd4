//! The values that labels may have, other than names from the configuration.
//!
//! Each label is a fixed list, so that the size of a scrape is known before the first request.

/// A label with a fixed list of values.
pub trait Label: Copy + 'static {
    /// As Prometheus knows it.
    const NAME: &'static str;
    /// All values.
    const ALL: &'static [Self];
    /// How they are written, in the order of [`Label::position`].
    const VALUES: &'static [&'static str];

    /// Where the value stands in [`Label::VALUES`].
    fn position(self) -> usize;
}

macro_rules! label {
    ($(#[$about:meta])* $label:ident $name:literal { $($(#[$doc:meta])* $value:ident $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $label {
            $($(#[$doc])* $value,)*
        }

        impl Label for $label {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$value),*];
            const VALUES: &'static [&'static str] = &[$($text),*];

            fn position(self) -> usize {
                self as usize
            }
        }
    };
}

mod endpoints;

pub use endpoints::{Checked, Ejected, Hedged, Zone};

label! {
    /// The class of a status code (RFC 9110 15).
    CodeClass "code_class" {
        /// No response was begun: the caller left, or the origin did before it answered.
        None "none",
        /// 100 to 199.
        Informational "1xx",
        /// 200 to 299.
        Successful "2xx",
        /// 300 to 399.
        Redirection "3xx",
        /// 400 to 499.
        ClientError "4xx",
        /// 500 and beyond.
        ServerError "5xx",
    }
}

impl CodeClass {
    /// The class of a status; what is below 100 means that there was none.
    pub fn of(status: u16) -> Self {
        match status / 100 {
            0 => CodeClass::None,
            1 => CodeClass::Informational,
            2 => CodeClass::Successful,
            3 => CodeClass::Redirection,
            4 => CodeClass::ClientError,
            _ => CodeClass::ServerError,
        }
    }
}

label! {
    /// Why a connection was closed before it was served.
    Refusal "reason" {
        /// The listener's limit of connections is reached.
        Limit "limit",
        /// The process has no more descriptors or memory for sockets.
        Exhausted "exhausted",
        /// The process takes more memory than config allows.
        Overload "overload",
        /// It was not introduced as config wants it (PROXY protocol).
        Introduction "proxy_protocol",
        /// TLS was to pass, and it did not begin with a hello that can be read.
        Hello "no_hello",
        /// TLS was to pass, and no cluster is configured for the name it asked for.
        Name "unknown_name",
        /// It was made to a listener for captured connections, and not led there.
        NotCaptured "not_captured",
        /// It was made by this proxy, and led back here: capture does not let the proxy's own connections alone.
        Circle "circle",
        /// It was going where no cluster is configured for.
        Destination "unknown_destination",
        /// A filter refused it.
        Policy "policy",
        /// A filter failed, and config says that this denies.
        FilterFault "filter_fault",
    }
}

label! {
    /// How a connection ended that was passed on without being understood.
    TcpEnd "result" {
        /// Both sides ended it.
        Whole "whole",
        /// Nothing moved for too long.
        Idle "idle",
        /// The caller's side failed.
        DownstreamAborted "downstream_aborted",
        /// The endpoint's side failed.
        UpstreamAborted "upstream_aborted",
        /// No endpoint could be connected to.
        Unconnected "unconnected",
        /// It was cut off when the proxy went down.
        Draining "draining",
    }
}

label! {
    /// How a TLS handshake with a caller ended.
    Handshake "result" {
        /// A full handshake.
        Full "full",
        /// A resumed session.
        Resumed "resumed",
        /// Not in time.
        Timeout "timeout",
        /// The caller showed no certificate where one is required, or one that is not trusted.
        ClientCertificate "client_certificate",
        /// Any other failure.
        Failed "failed",
    }
}

label! {
    /// Why the other side of a handshake was refused.
    PeerRefusal "reason" {
        /// Its certificate has expired.
        Expired "expired",
        /// Its certificate is not valid yet.
        NotYetValid "not_yet_valid",
        /// No authority that is trusted vouches for it.
        Foreign "foreign",
        /// Its certificate is for something else: not an SVID, or not for this side of TLS.
        WrongPurpose "wrong_purpose",
        /// It showed no certificate.
        Missing "missing",
        /// It is somebody else than config allows.
        WrongIdentity "wrong_identity",
        /// Its certificate cannot be read.
        Malformed "malformed",
        /// It does not speak TLS.
        PlainText "plain_text",
        /// Nobody is at fault but us: our own identity has not come yet.
        NoIdentity "no_identity",
    }
}

impl PeerRefusal {
    /// In words, about the other side.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Expired => "the certificate has expired",
            Self::NotYetValid => "the certificate is not valid yet",
            Self::Foreign => "no trusted authority vouches for the certificate",
            Self::WrongPurpose => "the certificate is not for this use",
            Self::Missing => "no certificate was shown",
            Self::WrongIdentity => "the certificate is of somebody else than config allows",
            Self::Malformed => "the certificate cannot be read",
            Self::PlainText => "no TLS is spoken",
            Self::NoIdentity => "our own identity has not come yet",
        }
    }
}

label! {
    /// Why an attempt did not get a connection.
    ConnectFailure "reason" {
        /// The endpoint refused.
        Refused "refused",
        /// No answer in time.
        Timeout "timeout",
        /// The TLS handshake failed.
        Tls "tls",
        /// Any other failure.
        Other "other",
    }
}

label! {
    /// The limit of a cluster that was hit.
    LimitHit "limit" {
        /// Connections.
        Connections "connections",
        /// Exchanges waiting for a connection.
        Pending "pending",
        /// Exchanges under way.
        Requests "requests",
    }
}

label! {
    /// What an attempt came to.
    Attempted "result" {
        /// The head of a response came.
        Answered "answered",
        /// It failed before.
        Failed "failed",
        /// The caller left, or time was up.
        Abandoned "abandoned",
    }
}

label! {
    /// Why an attempt was not repeated.
    Denied "reason" {
        /// There were as many as one exchange may have.
        UsedUp "used_up",
        /// The cluster's budget of retries is used up.
        Budget "budget",
        /// Too little of the exchange's time is left, the wait included.
        Time "time",
        /// More of the request's body was sent than is kept.
        Body "body",
    }
}

label! {
    /// How an exchange with retries ended.
    Retried "outcome" {
        /// With a response that was not worth a retry itself.
        Succeeded "succeeded",
        /// With another failure.
        Failed "failed",
    }
}

label! {
    /// The hooks of a filter.
    Hook "hook" {
        /// `on-connection`.
        Connection "connection",
        /// `on-request`.
        Request "request",
        /// `on-request-body`.
        RequestBody "request_body",
        /// `on-answer`.
        Answer "answer",
        /// `on-response`.
        Response "response",
        /// `on-complete`.
        Complete "complete",
        /// `update`.
        Update "update",
    }
}

label! {
    /// How a filter failed.
    FilterFault "kind" {
        /// It trapped.
        Trap "trap",
        /// It used more CPU time than config allows.
        OutOfTime "out_of_time",
        /// It used more memory than config allows.
        OutOfMemory "out_of_memory",
        /// It called the proxy more often than config allows.
        TooManyHostCalls "too_many_host_calls",
        /// It answered what the contract does not allow.
        WrongAnswer "wrong_answer",
        /// It refused its configuration or data.
        Configure "configure",
        /// It could not be called: its instance failed before and is not yet back.
        Unavailable "unavailable",
    }
}

label! {
    /// Whether a decision was found in memory.
    Remembered "result" {
        /// It was.
        Hit "hit",
        /// The filter was called.
        Miss "miss",
        /// The filter was called without looking: so little was found lately that it did not pay.
        Skipped "skipped",
    }
}

label! {
    /// What came of reading a filter's data again.
    DataRead "result" {
        /// New content is in force.
        Applied "applied",
        /// Nothing had changed.
        Unchanged "unchanged",
        /// The filter refused the new content; what it knew stays in force.
        Refused "refused",
        /// The content could not be had; what was known stays in force.
        Failed "failed",
    }
}

label! {
    /// What a source of endpoints told.
    Discovered "result" {
        /// Another list.
        Applied "applied",
        /// The same list.
        Unchanged "unchanged",
        /// Nothing that can be used; the endpoints that were known stay.
        Failed "failed",
    }
}

label! {
    /// How a reload ended.
    Reload "result" {
        /// The new configuration is in force.
        Applied "applied",
        /// Nothing had changed.
        Unchanged "unchanged",
        /// It failed; the old one stays in force.
        Failed "failed",
    }
}
