//! The clock of an attempt: one deadline that means another thing in each phase.
//!
//! While the request goes out and while the response comes in, silence is bounded. Between the two, the
//! exchange's own time runs: from its begin if the request was there at once, else from the request's end,
//! so that a large upload is not cut off for being large.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::Transfer;
use crate::{error::Failure, stream::Deadline, worker::Worker};

/// See the module.
pub(super) struct Timing<'d> {
    worker: &'d Worker,
    deadline: &'d mut Deadline,
    ends: Instant,
    timeout: Duration,
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
        ends: Instant,
        timeout: Duration,
        silence: Duration,
    ) -> Self {
        Self { worker, deadline, ends, timeout, silence, phase: None }
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
                Phase::Waiting => return Poll::Ready(Failure::ExchangeTimeout),
                _ if moved => self.deadline.set_after(self.silence),
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
    }
}
