//! Watch: tells the balancer and the metrics how an attempt went, exactly once.

use std::time::Duration;

use weir_balance::Ended;

use crate::{
    clock::Nanos,
    cluster::{Attempt, Cluster, Picked, Told},
    error::Failure,
    message::{Known, ResponseHead},
    worker::Worker,
};

/// An attempt under observation. Dropped without a word, it was given up.
pub(in crate::http) struct Watch<'a> {
    attempt: Attempt<'a>,
    cluster: &'a Cluster,
    worker: &'a Worker,
    ended: Option<Ended>,
    /// What came is a failure, or it broke off.
    bad: bool,
}

impl<'a> Watch<'a> {
    /// An attempt that begins at the worker's most recent time.
    pub(in crate::http) fn begin(worker: &'a Worker, cluster: &'a Cluster, picked: &Picked<'a>) -> Self {
        Self { attempt: Attempt::begin(worker, cluster, picked), cluster, worker, ended: None, bad: false }
    }

    /// The head of the response is there. Answers how long it took.
    pub(in crate::http) fn answered(&mut self, head: &ResponseHead) -> Nanos {
        let took = self.attempt.took();
        self.ended = Some(if turned_away(head) {
            Ended::Refused { hold: retry_after(head) }
        } else {
            Ended::Answered { rtt: Duration::from_nanos(took) }
        });
        self.bad = is_failure(head);
        self.cluster.metrics.duration.observe_ns(self.worker.index, took);
        took
    }

    /// There will be no response, or not all of it, for this reason.
    pub(in crate::http) fn stopped(&mut self, failure: Failure) {
        if is_the_endpoints(failure) {
            self.bad = true;
            self.ended.get_or_insert(Ended::Failed);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let told = match self.ended {
            _ if self.bad => Told::Bad,
            Some(_) => Told::Good,
            None => Told::Nothing,
        };
        self.attempt.end(self.ended, told);
    }
}

/// Whether an endpoint is to blame. It is not for a caller who leaves or is slow, nor for a limit that kept
/// the attempt from it.
fn is_the_endpoints(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::ConnectRefused
            | Failure::ConnectTimeout
            | Failure::ConnectFailed
            | Failure::UpstreamTls
            | Failure::UpstreamClosed
            | Failure::UpstreamProtocol
            | Failure::UpstreamHeadTooLarge
            | Failure::UpstreamAborted
            | Failure::ExchangeTimeout
            | Failure::AttemptTimeout
    )
}

/// 429 (RFC 6585 4), or gRPC's RESOURCE_EXHAUSTED in a head without body.
fn turned_away(head: &ResponseHead) -> bool {
    head.status == 429 || head.fields.get_known(Known::GrpcStatus) == Some(b"8")
}

/// Statuses from 500 on, and the gRPC statuses that mean one, in a head without body: UNKNOWN, INTERNAL, UNAVAILABLE
/// and DATA_LOSS.
fn is_failure(head: &ResponseHead) -> bool {
    head.status >= 500
        || head.fields.get_known(Known::GrpcStatus).is_some_and(|s| matches!(s, b"2" | b"13" | b"14" | b"15"))
}

fn retry_after(head: &ResponseHead) -> Duration {
    let seconds = head.fields.get_known(Known::RetryAfter);
    let seconds = seconds.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}
