//! Retry: whether an attempt that failed may be made again, and where.
//!
//! Only what does no harm is done twice: nothing was sent, or the endpoint says that it did nothing (RFC 9113
//! 8.7), or a kept connection had been closed meanwhile and the method is idempotent (RFC 9110 9.2.2).
//! Budgets and back-off take their places here.

use super::{Exchange, Stop};
use crate::{
    error::{Error, Failure},
    http::{incoming::Incoming, outgoing::SendError, upstream::HeadError},
};

/// How an attempt failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) stop: Stop,
    pub(super) again: Again,
}

/// Where an attempt may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Nowhere.
    No,
    /// At another endpoint.
    Elsewhere,
    /// Over another connection: this one takes no more requests.
    Fresh,
    /// As `Fresh`, if the connection was a kept one, which may have been closed while it idled, and if it is
    /// no harm that the endpoint may have seen the request.
    FreshIfKept,
}

impl Again {
    /// Whether the connection takes no more requests.
    pub(super) fn is_fresh(self) -> bool {
        matches!(self, Self::Fresh | Self::FreshIfKept)
    }
}

impl Failed {
    pub(super) fn no(stop: impl Into<Stop>) -> Self {
        Self { stop: stop.into(), again: Again::No }
    }

    /// No connection could be had.
    pub(super) fn unconnected(error: Error) -> Self {
        let again = if error.failure.consequence().retry { Again::Elsewhere } else { Again::No };
        Self { stop: error.into(), again }
    }

    /// A connection took no request.
    pub(super) fn unopened(error: h2::Error) -> Self {
        Self { stop: HeadError::H2(error).into_error().into(), again: Again::Fresh }
    }

    /// There is no head of a response.
    pub(super) fn headless(error: HeadError) -> Self {
        let again = match &error {
            HeadError::Silent(_) => Again::FreshIfKept,
            HeadError::Cut(_) | HeadError::Bad(_) => Again::No,
            HeadError::H2(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => Again::Elsewhere,
            // An orderly GOAWAY fails exactly the streams that will not be worked on (RFC 9113 6.8).
            HeadError::H2(error) if error.is_go_away() && error.is_remote() => match error.reason() {
                Some(h2::Reason::NO_ERROR) => Again::Fresh,
                _ => Again::FreshIfKept,
            },
            HeadError::H2(error) if error.is_io() => Again::FreshIfKept,
            HeadError::H2(_) => Again::No,
        };
        Self { stop: error.into_error().into(), again }
    }

    /// The response cannot be sent on.
    pub(super) fn unsent(error: SendError) -> Self {
        Self::no(match error {
            SendError::Length => Failure::UpstreamProtocol,
            SendError::Io(_) | SendError::H2(_) | SendError::Left => Failure::DownstreamAborted,
        })
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        match &self.stop {
            Stop::Failed(error) => Some(error.failure),
            Stop::Answer(_) => None,
        }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::no(failure)
    }
}

impl From<Stop> for Failed {
    fn from(stop: Stop) -> Self {
        Self::no(stop)
    }
}

impl Exchange<'_> {
    /// Settles whether the attempt may be made again, now that it is known over which connection it went
    /// and what of the body is gone.
    pub(super) fn judge(&self, mut failed: Failed, kept: bool, body: &Incoming<'_>) -> Failed {
        let whole = self.transfer.received.bytes.get() == 0 || matches!(body, Incoming::Held(_));
        let harmless = self.request().method.is_idempotent();
        failed.again = match failed.again {
            _ if !whole => Again::No,
            Again::FreshIfKept if kept && harmless => Again::Fresh,
            Again::FreshIfKept => Again::No,
            settled => settled,
        };
        failed
    }
}
