//! The values that labels may have, other than names from the configuration.
//!
//! Each label is a fixed list, so that the size of a scrape is known before the first request.

/// A label with a fixed list of values.
pub trait Label: Copy {
    /// As Prometheus knows it.
    const NAME: &'static str;
    /// All values, in the order of [`Label::position`].
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
            const VALUES: &'static [&'static str] = &[$($text),*];

            fn position(self) -> usize {
                self as usize
            }
        }
    };
}

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
    /// Why a connection was closed before anything was read from it.
    Refusal "reason" {
        /// The listener's limit of connections is reached.
        Limit "limit",
        /// The process has no more descriptors or memory for sockets.
        Exhausted "exhausted",
        /// The proxy goes down.
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
    /// Why the proxy answered an exchange itself.
    LocalReply "reason" {
        /// A filter's decision.
        Filter "filter",
        /// The request is malformed.
        BadRequest "bad_request",
        /// The request's head is larger than allowed.
        HeadTooLarge "head_too_large",
        /// The request's target is longer than allowed.
        TargetTooLong "target_too_long",
        /// A transfer coding that is not known.
        UnknownCoding "unknown_coding",
        /// A version of HTTP that is not spoken.
        UnknownVersion "unknown_version",
        /// The request's head did not arrive in time.
        HeadTimeout "head_timeout",
        /// The request's body did not arrive in time.
        BodyTimeout "body_timeout",
        /// The request's body is larger than allowed.
        BodyTooLarge "body_too_large",
        /// A method or form that is not forwarded.
        NotImplemented "not_implemented",
        /// No cluster was chosen.
        NoRoute "no_route",
        /// The proxy goes down.
        Draining "draining",
        /// No endpoint of the cluster has the labels asked for.
        NoEndpoint "no_endpoint",
        /// The cluster's limit of exchanges is reached.
        RequestLimit "request_limit",
        /// The cluster's limit of waiting exchanges is reached.
        PendingLimit "pending_limit",
        /// The endpoint refused the connection.
        ConnectRefused "connect_refused",
        /// The endpoint did not take the connection in time.
        ConnectTimeout "connect_timeout",
        /// The connection failed in another way.
        ConnectFailed "connect_failed",
        /// The TLS handshake with the endpoint failed.
        UpstreamTls "upstream_tls",
        /// The endpoint closed before it answered.
        UpstreamClosed "upstream_closed",
        /// The endpoint's answer is not legal HTTP.
        UpstreamProtocol "upstream_protocol",
        /// The endpoint's head is larger than allowed.
        UpstreamHeadTooLarge "upstream_head_too_large",
        /// The exchange's time was over.
        ExchangeTimeout "exchange_timeout",
        /// The endpoint stopped in the middle of its answer.
        UpstreamAborted "upstream_aborted",
        /// A filter failed, and config says that this denies.
        FilterFault "filter_fault",
        /// A filter asked more often than allowed.
        FilterAskedTooOften "filter_asked_too_often",
        /// The caller left.
        DownstreamAborted "downstream_aborted",
    }
}

label! {
    /// The hooks of a filter.
    Hook "hook" {
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
