//! The clock of an attempt: one deadline that means another thing in each phase.
//!
//! While the request goes out and while the response comes in, silence is bounded. Between the two, the
//! exchange's own time runs: from its begin if the request was there at once, else from the request's end,
//! so that a large upload is not cut off for being large. An attempt may have less.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{Transfer, retry::Tries};
use crate::{error::Failure, stream::Deadline, worker::Worker};

/// See the module.
pub(super) struct Timing<'d> {
    worker: &'d Worker,
    deadline: &'d mut Deadline,
    ends: Instant,
    timeout: Duration,
    per_try: Option<Duration>,
    caller_until: Option<Instant>,
    silence: Duration,
    phase: Option<Phase>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Request,
    Waiting,
    Response,
}

impl<'d> Timing<'d> {
    pub(super) fn new(
        worker: &'d Worker,
        deadline: &'d mut Deadline,
        tries: &Tries<'_>,
        silence: Duration,
    ) -> Self {
        let per_try = tries.terms.per_try_timeout();
        let (ends, timeout, caller_until) = (tries.ends, tries.timeout, tries.caller_until);
        Self { worker, deadline, ends, timeout, per_try, caller_until, silence, phase: None }
    }

    /// Ready with what took too long.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        uploaded: bool,
        answered: bool,
        transfer: &Transfer,
    ) -> Poll<Failure> {
        let phase = match (answered, uploaded) {
            (true, _) => Phase::Response,
            (false, true) => Phase::Waiting,
            (false, false) => Phase::Request,
        };
        if self.phase != Some(phase) {
            self.enter(phase);
        }
        loop {
            if self.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let moved = transfer.received.moved.take() | transfer.sent.moved.take();
            match phase {
                Phase::Waiting => return Poll::Ready(self.too_late()),
                Phase::Request if self.caller_has_gone() => return Poll::Ready(Failure::CallerDeadline),
                _ if moved => {
                    self.deadline.set_after(self.silence);
                    self.heed_caller(phase);
                }
                // An endpoint that does not take the request in is as late as one that does not answer.
                Phase::Request if transfer.received.sinking.get() => {
                    return Poll::Ready(Failure::ExchangeTimeout);
                }
                Phase::Request => return Poll::Ready(Failure::BodyTimeout),
                Phase::Response if transfer.sent.sinking.get() => {
                    return Poll::Ready(Failure::WriteTimeout);
                }
                Phase::Response => return Poll::Ready(Failure::UpstreamAborted),
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        match (self.phase, phase) {
            (None, Phase::Waiting) => self.deadline.set(Some(self.ends)),
            (_, Phase::Waiting) => self.deadline.set_after(self.timeout),
            (_, Phase::Request) => self.deadline.set_after(self.silence),
            // Entered when the head has just come, and the clock was read.
            (_, Phase::Response) => self.deadline.set(self.worker.after(self.silence)),
        }
        self.phase = Some(phase);
        if let (Phase::Waiting, Some(per_try)) = (phase, self.per_try) {
            self.bound_attempt(per_try);
        }
        self.heed_caller(phase);
    }

    /// Until the head of the response has come, no wait is longer than the caller's.
    fn heed_caller(&mut self, phase: Phase) {
        let Some(until) = self.caller_until else { return };
        if phase != Phase::Response && self.deadline.at().is_none_or(|at| until < at) {
            self.deadline.set(Some(until));
            self.per_try = None;
        }
    }

    fn caller_has_gone(&self) -> bool {
        self.caller_until.is_some_and(|until| until <= Instant::now())
    }

    /// Bounds the wait for this attempt's answer, if the exchange's own time does not do so earlier.
    fn bound_attempt(&mut self, per_try: Duration) {
        let until = Instant::now().checked_add(per_try);
        match self.deadline.at() {
            Some(at) if until.is_none_or(|until| at <= until) => self.per_try = None,
            _ => self.deadline.set(until),
        }
    }

    fn too_late(&self) -> Failure {
        match self.per_try {
            // What a caller asks for says nothing of the endpoint.
            _ if self.caller_has_gone() => Failure::CallerDeadline,
            Some(_) => Failure::AttemptTimeout,
            None => Failure::ExchangeTimeout,
        }
    }
}
