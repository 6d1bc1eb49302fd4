//! Retry: whether an attempt that failed may be made again, where, and when.
//!
//! Only what does no harm is done twice: nothing was sent, or the endpoint says that it did nothing (RFC 9113
//! 8.7), or the method is idempotent (RFC 9110 9.2.2), or a gRPC status says so. And only as often as `retries`,
//! the cluster's budget and the exchange's time allow.

use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;
use weir_config::checked::RetryPolicy;

use super::{Exchange, Stop, terms::Terms};
use crate::{
    cluster::{LocalCluster, Reuse},
    error::{Error, Failure},
    http::{incoming::Incoming, outgoing::SendError, upstream::HeadError},
    message::{Known, RequestHead, ResponseHead},
    telemetry::metrics::{Denied, Retried},
    worker::Dice,
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
    /// So if it is no harm that the endpoint may have seen the request.
    IfHarmless,
    /// Over another connection: this one takes no more requests.
    Fresh,
    /// As `Fresh`, if the connection was a kept one, which may have been closed while it idled; else as
    /// `Elsewhere`. Both if it is no harm that the endpoint may have seen the request.
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
            HeadError::Cut(_) => Again::IfHarmless,
            HeadError::Bad(_) => Again::No,
            HeadError::H2(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => Again::Elsewhere,
            // An orderly GOAWAY fails exactly the streams that will not be worked on (RFC 9113 6.8).
            HeadError::H2(error) if error.is_go_away() && error.is_remote() => match error.reason() {
                Some(h2::Reason::NO_ERROR) => Again::Fresh,
                _ => Again::FreshIfKept,
            },
            HeadError::H2(error) if error.is_io() => Again::FreshIfKept,
            HeadError::H2(error) if error.is_reset() && error.is_remote() => Again::IfHarmless,
            HeadError::H2(_) => Again::No,
        };
        Self { stop: error.into_error().into(), again }
    }

    /// Something took too long.
    pub(super) fn late(failure: Failure) -> Self {
        let again = if failure == Failure::AttemptTimeout { Again::IfHarmless } else { Again::No };
        Self { stop: failure.into(), again }
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
            Stop::Answer(_) | Stop::Reached => None,
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

/// How far an exchange is with its attempts.
pub(super) struct Tries<'c> {
    pub(super) cluster: &'c LocalCluster,
    /// What counts for them.
    pub(super) terms: Terms<'c>,
    /// When the exchange's time is over, and how much it is.
    pub(super) ends: Instant,
    pub(super) timeout: Duration,
    /// When the caller has waited long enough, if it says so.
    pub(super) caller_until: Option<Instant>,
    /// Which connections the next attempt may use.
    pub(super) reuse: Reuse,
    /// Positions of endpoints that were tried.
    tried: SmallVec<[usize; 4]>,
    /// Attempts that were repeated.
    repeated: u8,
    most: u8,
    /// Bytes of the body after which it cannot be sent again.
    repeatable: u64,
}

impl<'c> Tries<'c> {
    /// Endpoints that the next attempt goes to only if there is no other.
    pub(super) fn avoid(&self) -> &[usize] {
        // Another connection, but the same endpoint will do.
        if self.reuse == Reuse::Any { &self.tried } else { &[] }
    }

    /// Whether an attempt sends the whole of `body`, whatever went before.
    pub(super) fn begins_anew(&self, body: &Incoming<'_>) -> bool {
        matches!(body, Incoming::Held(_)) || self.repeated > 0 || self.reuse != Reuse::Any
    }

    /// An attempt went to this endpoint beside the one that is told of.
    pub(super) fn also_tried(&mut self, endpoint: usize) {
        self.tried.push(endpoint);
    }

    /// The next attempt is at another endpoint than this.
    pub(super) fn go_elsewhere(&mut self, from: usize) {
        self.reuse = Reuse::Any;
        self.tried.push(from);
        self.repeated += 1;
    }
}

impl Exchange<'_> {
    /// How often the exchange may be tried, and until when, as its route, its cluster and its caller say; `policies` are
    /// those that a filter may have named one of.
    pub(super) fn begin_tries<'c>(
        &self,
        cluster: &'c LocalCluster,
        policies: &'c [RetryPolicy],
    ) -> Tries<'c> {
        let (route, clock) = (&self.heads.request.route, &self.state.worker.clock);
        let own = cluster.shared.config.exchange_timeout;
        let timeout = route.timeout_ms.map_or(own, |ms| Duration::from_millis(ms.into()));
        let terms = self.terms(cluster, policies);
        let at = |reading| Instant::from_std(clock.instant(reading));
        let (ends, caller_until) = (at(self.timed_from) + timeout, self.caller_until.map(at));
        Tries {
            cluster,
            terms,
            // The caller waits no longer than it says.
            ends: caller_until.map_or(ends, |until| ends.min(until)),
            timeout,
            caller_until,
            reuse: Reuse::Any,
            tried: SmallVec::new(),
            repeated: 0,
            most: route.retries.unwrap_or_else(|| terms.retries()),
            repeatable: 0,
        }
    }

    /// Sees to it that the body can be sent again, if that may be wanted.
    pub(super) fn prepare_repetition(&self, tries: &mut Tries<'_>, body: &mut Incoming<'_>) {
        let terms = &tries.terms;
        if tries.most > 0 && !body.is_over() && !matches!(body, Incoming::Held(_)) {
            let head = self.request();
            if head.method.is_idempotent() || (!terms.grpc().is_empty() && is_grpc(head)) {
                body.keep_copy(terms.buffer());
            }
        }
        tries.repeatable = body.repeatable();
    }

    /// Settles where the attempt may be made again, now that it is known over which connection it went and
    /// what of the body is gone.
    pub(super) fn judge(&self, mut failed: Failed, kept: bool, tries: &Tries<'_>) -> Failed {
        let harmless = self.request().method.is_idempotent();
        failed.again = match failed.again {
            Again::No => Again::No,
            _ if !self.is_whole(tries) => {
                self.deny(tries, Denied::Body);
                Again::No
            }
            Again::FreshIfKept if kept && harmless => Again::Fresh,
            Again::FreshIfKept | Again::IfHarmless if harmless => Again::Elsewhere,
            Again::FreshIfKept | Again::IfHarmless => Again::No,
            settled => settled,
        };
        failed
    }

    /// Whether the response whose head has come is not to be the last word; then, how long to wait before the next
    /// attempt, which is granted.
    pub(super) fn repeat_answer(&self, tries: &Tries<'_>) -> Option<Duration> {
        let head = &self.heads.response;
        if !self.is_worth_repeating(tries, head) {
            return None;
        }
        if !self.is_whole(tries) {
            self.deny(tries, Denied::Body);
            return None;
        }
        self.grant(tries, wished(head))
    }

    /// The wait before a further attempt, at least `wished`; none if there may be no further one.
    pub(super) fn grant(&self, tries: &Tries<'_>, wished: Duration) -> Option<Duration> {
        if tries.repeated >= tries.most {
            self.deny(tries, Denied::UsedUp);
            return None;
        }
        let worker = &self.state.worker;
        let backoff = tries.terms.backoff().wait(u32::from(tries.repeated) + 1, &mut Dice(worker));
        let (wait, now) = (wished.max(backoff), worker.now());
        let left = tries.ends.saturating_duration_since(Instant::from_std(worker.clock.instant(now)));
        if wait >= left {
            self.deny(tries, Denied::Time);
            return None;
        }
        let shared = &tries.cluster.shared;
        if !shared.budget.spend(now, shared.requests_so_far()) {
            self.deny(tries, Denied::Budget);
            return None;
        }
        shared.metrics.retries.one(worker.index);
        Some(wait)
    }

    /// Counts how an exchange ended that was tried more than once.
    pub(super) fn count_repeated(&self, tries: &Tries<'_>, answered: bool) {
        if tries.repeated > 0 {
            let well = answered && !self.is_worth_repeating(tries, &self.heads.response);
            let outcome = if well { Retried::Succeeded } else { Retried::Failed };
            tries.cluster.shared.metrics.retried.one(self.state.worker.index, outcome);
        }
    }

    pub(super) fn is_worth_repeating(&self, tries: &Tries<'_>, head: &ResponseHead) -> bool {
        let terms = &tries.terms;
        if head.status >= 400 && terms.statuses().contains(&head.status) {
            return self.request().method.is_idempotent();
        }
        let Some(status) = head.fields.get_known(Known::GrpcStatus) else { return false };
        let status = std::str::from_utf8(status).ok().and_then(|text| text.parse().ok());
        terms.grpc().iter().any(|known| Some(*known as u8) == status) && is_grpc(self.request())
    }

    fn is_whole(&self, tries: &Tries<'_>) -> bool {
        self.transfer.received.bytes.get() <= tries.repeatable
    }

    fn deny(&self, tries: &Tries<'_>, why: Denied) {
        if tries.most > 0 {
            tries.cluster.shared.metrics.retries_denied.one(self.state.worker.index, why);
        }
    }
}

fn is_grpc(head: &RequestHead) -> bool {
    head.fields.get_known(Known::ContentType).is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// How long an endpoint wants to be left alone: `Retry-After` (RFC 9110 10.2.3) or gRPC's push-back (gRFC A6). A
/// date, or what cannot be read, is longer than any exchange.
fn wished(head: &ResponseHead) -> Duration {
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.trim().parse::<u32>().ok();
    if let Some(pushback) = head.fields.get("grpc-retry-pushback-ms") {
        return number(pushback).map_or(Duration::MAX, |ms| Duration::from_millis(ms.into()));
    }
    match head.fields.get_known(Known::RetryAfter) {
        Some(value) => number(value).map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.into())),
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_wishes_is_read_or_counts_as_never() {
        for (name, value, expected) in [
            ("x", "1", Duration::ZERO),
            ("retry-after", "2", Duration::from_secs(2)),
            ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT", Duration::MAX),
            ("grpc-retry-pushback-ms", "30", Duration::from_millis(30)),
            ("grpc-retry-pushback-ms", "-1", Duration::MAX),
        ] {
            let mut head = ResponseHead::new(503);
            assert!(head.fields.push(name, value.as_bytes()));
            assert_eq!(wished(&head), expected, "{name}: {value}");
        }
    }
}
