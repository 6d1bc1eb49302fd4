//! Account: what is counted and written down of a TCP connection, exactly once, however it ended.
//!
//! Bytes are counted as they move: a connection may last for days.

use std::{
    cell::{Cell, OnceCell, RefCell},
    sync::Arc,
};

use crate::{
    clock::{self, Nanos},
    cluster::{Cluster, Endpoint},
    error::Failure,
    message::ConnectionInfo,
    snapshot::{LocalListener, LocalState},
    stream::Side,
    telemetry::{
        access_log::{Flags, Record},
        metrics::TcpEnd,
    },
};

/// The account of one connection; given when it is dropped.
pub(super) struct Account<'s> {
    state: &'s LocalState,
    listener: &'s LocalListener,
    connection: &'s ConnectionInfo,
    protocol: &'static str,
    begun: Nanos,
    cluster: OnceCell<Arc<Cluster>>,
    endpoint: RefCell<Option<Arc<Endpoint>>>,
    attempts: Cell<u8>,
    /// How long connecting took.
    upstream: Cell<Nanos>,
    received: Cell<u64>,
    sent: Cell<u64>,
    /// None: it was cut off.
    ended: Cell<Option<TcpEnd>>,
    reason: Cell<Option<Failure>>,
}

impl<'s> Account<'s> {
    pub(super) fn begin(
        state: &'s LocalState,
        listener: &'s LocalListener,
        connection: &'s ConnectionInfo,
        protocol: &'static str,
    ) -> Self {
        Self {
            state,
            listener,
            connection,
            protocol,
            begun: state.worker.now(),
            cluster: OnceCell::new(),
            endpoint: RefCell::default(),
            attempts: Cell::new(0),
            upstream: Cell::new(0),
            received: Cell::new(0),
            sent: Cell::new(0),
            ended: Cell::new(None),
            reason: Cell::new(None),
        }
    }

    pub(super) fn goes_to(&self, cluster: &Arc<Cluster>) {
        let _ = self.cluster.set(Arc::clone(cluster));
    }

    pub(super) fn tries(&self, endpoint: &Arc<Endpoint>) {
        self.attempts.set(self.attempts.get().saturating_add(1));
        self.endpoint.replace(Some(Arc::clone(endpoint)));
    }

    pub(super) fn connected(&self, took: Nanos) {
        self.upstream.set(took.max(1));
    }

    /// Counts bytes that were delivered.
    pub(super) fn moved(&self, from: Side, n: usize) {
        let (worker, n) = (self.state.worker.index, n as u64);
        let (listener, cluster) = (&self.listener.plan.metrics, self.cluster.get().map(|c| &c.metrics));
        match from {
            Side::Near => {
                self.received.set(self.received.get() + n);
                listener.received_bytes.add(worker, n);
                cluster.into_iter().for_each(|cluster| cluster.tcp_sent_bytes.add(worker, n));
            }
            Side::Far => {
                self.sent.set(self.sent.get() + n);
                listener.sent_bytes.add(worker, n);
                cluster.into_iter().for_each(|cluster| cluster.tcp_received_bytes.add(worker, n));
            }
        }
    }

    /// It came to its own end, or to this one.
    pub(super) fn end(self, failure: Option<Failure>) {
        self.reason.set(failure);
        self.ended.set(Some(match failure {
            None => TcpEnd::Whole,
            Some(Failure::TunnelIdle) => TcpEnd::Idle,
            Some(Failure::DownstreamAborted) => TcpEnd::DownstreamAborted,
            Some(Failure::UpstreamAborted) => TcpEnd::UpstreamAborted,
            Some(_) => TcpEnd::Unconnected,
        }));
    }

    fn write_down(&self, total: Nanos, ended: TcpEnd) {
        let Some(log) = &self.state.access_log else { return };
        let endpoint = self.endpoint.borrow();
        let reason = self.reason.get().or((ended == TcpEnd::Draining).then_some(Failure::Draining));
        log.borrow_mut().log(&Record {
            tcp: true,
            time_unix_ms: clock::unix_ms(),
            listener: &self.listener.plan.config.name,
            peer: self.connection.peer.map(|peer| peer.ip().to_canonical()),
            destination: self.connection.goes_on_to(),
            identity: self.connection.identity.as_deref(),
            sni: self.connection.sni.as_deref(),
            protocol: self.protocol,
            reason: reason.map(Failure::reason),
            cluster: self.cluster.get().map(|cluster| &**cluster.name()),
            endpoint: endpoint.as_ref().map(|endpoint| &*endpoint.name),
            attempts: self.attempts.get(),
            bytes_in: self.received.get(),
            bytes_out: self.sent.get(),
            duration_us: total / 1_000,
            upstream_us: (self.upstream.get() > 0).then_some(self.upstream.get() / 1_000),
            flags: Flags {
                downstream_aborted: ended == TcpEnd::DownstreamAborted,
                upstream_aborted: ended == TcpEnd::UpstreamAborted,
                ..Flags::default()
            },
            ..Record::default()
        });
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let worker = &self.state.worker;
        let total = worker.now().saturating_sub(self.begun);
        let ended = self.ended.get().unwrap_or(TcpEnd::Draining);
        let metrics = &self.listener.plan.metrics;
        metrics.tcp_connections.one(worker.index, ended);
        metrics.tcp_duration.observe_ns(worker.index, total);
        self.write_down(total, ended);
    }
}
