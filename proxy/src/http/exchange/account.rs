//! Account: what is left of an exchange when it is over - told to its filters, counted, written down.
//!
//! It happens when the exchange is dropped, and so exactly once, however the exchange ended: a caller who
//! left, a connection that was cut, a drain that ran out of time.

use std::rc::Rc;

use smallvec::SmallVec;
use weir_runtime::{HookSet, Outcome};

use super::{Exchange, Local};
use crate::{
    clock,
    error::Failure,
    message::ConnectionInfo,
    telemetry::{
        access_log::{Flags, Record},
        metrics::{CodeClass, LocalReply},
    },
};

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.sofar.ended && self.sofar.aborted.is_none() {
            let draining = self.state.worker.draining.is_raised();
            self.sofar.aborted = Some(if draining { Failure::Draining } else { Failure::DownstreamAborted });
        }
        // The end of the last attempt was noted just now; any other end was not.
        let worker = &self.state.worker;
        let relayed = self.sofar.ended && self.sofar.local.is_none() && self.sofar.attempts > 0;
        let now = if relayed { worker.recent() } else { worker.now() };
        let total = now.saturating_sub(self.begun);
        self.tell_filters(total);
        self.count(total);
        if self.state.access_log.is_some() {
            self.write_down(total);
        }
    }
}

impl Exchange<'_> {
    fn tell_filters(&mut self, total: u64) {
        if !self.seats.iter().any(|seat| seat.passed && seat.filter.wants(HookSet::COMPLETE)) {
            return;
        }
        let mut outcome = Outcome {
            status: self.sofar.status,
            cluster: None,
            attempts: self.sofar.attempts,
            local: self.sofar.local.is_some(),
            aborted: self.sofar.aborted.is_some() || self.sofar.status == 0,
            total_us: total / 1_000,
            upstream_us: self.sofar.upstream / 1_000,
            now_ms: clock::unix_ms(),
        };
        for seat in self.seats.iter().rev().filter(|seat| seat.passed && seat.filter.wants(HookSet::COMPLETE))
        {
            let attempted = self.sofar.cluster.filter(|_| self.sofar.attempts > 0);
            outcome.cluster = attempted.and_then(|slot| seat.filter.plan.position_of(slot));
            seat.filter.on_complete(&self.state.worker, self.id, seat.memo, &outcome);
        }
    }

    fn count(&mut self, total: u64) {
        let worker = self.state.worker.index;
        let class = CodeClass::of(self.sofar.status);
        let metrics = &self.listener.plan.metrics;
        metrics.requests.one(worker, class);
        metrics.requests_active.down(worker);
        metrics.duration.observe_ns(worker, total);
        metrics.received_bytes.add(worker, self.transfer.received.bytes.get());
        metrics.sent_bytes.add(worker, self.transfer.sent.bytes.get());
        if let Some(name) = &self.heads.request.route.name {
            self.state.routes.borrow_mut().count(worker, name, class);
        }
        if let Some(cluster) = self.sofar.cluster.and_then(|slot| self.snapshot.cluster(slot)) {
            cluster.shared.metrics.requests.one(worker, class);
        }
        let local = &self.state.shared.metrics.process.local_replies;
        match (&self.sofar.local, self.sofar.aborted) {
            (_, Some(failure)) => local.one(worker, LocalReply::of(failure)),
            (Some(Local::Failure(error)), None) => local.one(worker, LocalReply::of(error.failure)),
            (Some(Local::Filter(..)), None) => local.one(worker, LocalReply::Filter),
            (Some(Local::Reached), None) => local.one(worker, LocalReply::Reached),
            (None, None) => {}
        }
    }

    fn write_down(&mut self, total: u64) {
        let request = &self.heads.request;
        let connection = request.connection.as_deref();
        let cluster = self.sofar.cluster.and_then(|slot| self.snapshot.cluster(slot)).map(Rc::clone);
        let reason = match (&self.sofar.local, self.sofar.aborted) {
            (_, Some(failure)) => Some(failure.reason()),
            (Some(Local::Failure(error)), None) => Some(error.failure.reason()),
            (Some(Local::Filter(_, reason)), None) => Some(&**reason),
            (Some(Local::Reached), None) => Some(LocalReply::REACHED),
            (None, None) => None,
        };
        let filter = match &self.sofar.local {
            Some(Local::Filter(filter, _)) => Some(&**filter.plan.name()),
            _ => None,
        };
        let facts: SmallVec<[(&str, &str); 8]> =
            request.facts.iter().map(|(name, value)| (&**name, &**value)).collect();
        let aborted_by_caller = self.sofar.aborted.is_some_and(Failure::is_callers);
        let trace_id = request.trace.map(|trace| trace.trace_id_hex());
        let record = Record {
            time_unix_ms: clock::unix_ms(),
            tcp: false,
            listener: &self.listener.plan.config.name,
            sni: None,
            peer: connection.and_then(|c| c.peer).map(|peer| peer.ip().to_canonical()),
            destination: connection.and_then(ConnectionInfo::goes_on_to),
            identity: connection.and_then(|c| c.identity.as_deref()),
            method: request.head.method.as_str().as_bytes(),
            authority: request.head.authority().as_bytes(),
            path: request.head.path().as_bytes(),
            protocol: request.head.version.protocol(),
            status: self.sofar.status,
            reason,
            filter,
            route: request.route.name.as_deref(),
            cluster: cluster.as_ref().map(|c| &**c.shared.name()),
            endpoint: self.sofar.endpoint.as_ref().map(|e| &*e.name),
            attempts: self.sofar.attempts,
            bytes_in: self.transfer.received.bytes.get(),
            bytes_out: self.transfer.sent.bytes.get(),
            duration_us: total / 1_000,
            upstream_us: (self.sofar.upstream > 0).then_some(self.sofar.upstream / 1_000),
            request_id: request.id.as_str(),
            trace_id: trace_id.as_ref().and_then(|id| std::str::from_utf8(id).ok()),
            facts: &facts,
            flags: Flags {
                downstream_aborted: aborted_by_caller,
                upstream_aborted: matches!(
                    self.sofar.aborted,
                    Some(Failure::UpstreamAborted | Failure::UpstreamProtocol)
                ),
                upgraded: self.sofar.upgraded,
                ..Flags::default()
            },
        };
        if let Some(log) = &self.state.access_log {
            log.borrow_mut().log(&record);
        }
    }
}
