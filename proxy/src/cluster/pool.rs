//! Connections to one endpoint that one worker keeps: idle HTTP/1.1 ones, and HTTP/2 ones in use by many.
//!
//! No task watches an idle HTTP/1.1 connection: the reactor knows whether the endpoint has spoken or left,
//! and checkout asks it. A periodic [`EndpointPool::tend`] closes what idled too long.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{Mutex, Notify};
use weir_config::checked::UpstreamProtocol;

use super::{
    Cluster, LocalCluster, Picked,
    connect::{Connected, connect},
    shared::{Bound, Permit},
};
use crate::{
    clock::Nanos,
    error::{Error, Failure},
    stream::Io,
    telemetry::metrics::{ConnectFailure, LimitHit},
    worker::Worker,
};

/// How long one who waits for the cluster's connection limit sleeps before it looks again: places that
/// other workers free up wake nobody here.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub struct EndpointPool {
    idle: RefCell<Vec<H1Connection>>,
    shared: RefCell<Vec<Rc<H2Shared>>>,
    /// One opens an HTTP/2 connection, the others wait for it.
    opening: Mutex<()>,
    freed: Notify,
}

/// A connection to use for an exchange.
#[derive(Debug)]
pub enum Checkout {
    /// For this exchange alone.
    H1(H1Connection),
    /// A stream of a connection shared with others.
    H2(H2Connection),
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub struct H1Connection {
    /// The bytes.
    pub io: Io,
    /// Exchanges it has served before this one: a failure of a used connection may only mean that the
    /// endpoint closed it while it idled.
    pub served: u32,
    idle_since: Nanos,
    _permit: Permit,
}

/// One exchange's use of an HTTP/2 connection.
#[derive(Debug)]
pub struct H2Connection {
    /// Opens the stream.
    pub send: SendRequest<Bytes>,
    shared: Rc<H2Shared>,
}

#[derive(Debug)]
struct H2Shared {
    send: SendRequest<Bytes>,
    alive: Cell<bool>,
    streams: Cell<usize>,
    idle_since: Cell<Nanos>,
}

impl Drop for H2Connection {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get() - 1);
    }
}

impl LocalCluster {
    /// A connection to the picked endpoint: a kept one if there is one (unless `fresh`), else a new one,
    /// within the cluster's limits. The caller bounds the time of the exchange; connecting has its own.
    pub async fn checkout(&self, worker: &Worker, picked: &Picked, fresh: bool) -> Result<Checkout, Error> {
        let pool = self.pool(picked.index);
        if !fresh && let Some(kept) = pool.take(worker) {
            return Ok(kept);
        }
        let Some(_pending) = Permit::acquire(&self.shared, Bound::Pending) else {
            self.shared.metrics.limit_hits.one(worker.index, LimitHit::Pending);
            return Err(Failure::PendingLimit.into());
        };
        let shares = self.shared.config.protocol == UpstreamProtocol::H2;
        let _opening = if shares { Some(pool.opening.lock().await) } else { None };
        let permit = loop {
            if !fresh && let Some(kept) = pool.take(worker) {
                return Ok(kept);
            }
            match Permit::acquire(&self.shared, Bound::Connections) {
                Some(permit) => break permit,
                None => {
                    self.make_room();
                    self.shared.metrics.limit_hits.one(worker.index, LimitHit::Connections);
                    let _ = tokio::time::timeout(LOOK_AGAIN, pool.freed.notified()).await;
                }
            }
        };
        let opened = open(worker, &self.shared, picked, permit).await;
        match &opened {
            Ok(_) => self.shared.metrics.connections.one(worker.index),
            Err(error) => self.shared.metrics.connect_failures.one(worker.index, label(error.failure)),
        }
        Ok(match opened? {
            Opened::H1(connection) => Checkout::H1(connection),
            Opened::H2(shared) => {
                pool.shared.borrow_mut().push(Rc::clone(&shared));
                Checkout::H2(H2Connection::new(shared))
            }
        })
    }

    /// Takes back a connection that can serve another exchange.
    pub fn give_back(&self, worker: &Worker, index: usize, mut connection: H1Connection) {
        connection.served = connection.served.saturating_add(1);
        connection.idle_since = worker.clock.now();
        let pool = self.pool(index);
        pool.idle.borrow_mut().push(connection);
        pool.freed.notify_one();
    }

    /// The limit is reached: idle connections to other endpoints of this worker must not hold it.
    fn make_room(&self) {
        for index in 0..self.shared.endpoints.len() {
            let mut idle = self.pool(index).idle.borrow_mut();
            if !idle.is_empty() {
                idle.remove(0);
                return;
            }
        }
    }
}

impl EndpointPool {
    fn take(&self, worker: &Worker) -> Option<Checkout> {
        if let Some(connection) = self.take_shared(worker) {
            return Some(Checkout::H2(connection));
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if connection.io.is_quiet(&mut cx) {
                return Some(Checkout::H1(connection));
            }
        }
        None
    }

    fn take_shared(&self, worker: &Worker) -> Option<H2Connection> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|connection| connection.alive.get());
        let least = shared
            .iter()
            .filter(|c| c.streams.get() < c.send.current_max_send_streams().max(1))
            .min_by_key(|c| c.streams.get())?;
        least.idle_since.set(worker.clock.now());
        Some(H2Connection::new(Rc::clone(least)))
    }

    pub(super) fn tend(&self, worker: &Worker, idle_timeout: Duration) {
        let now = worker.clock.now();
        let outlived = |since: Nanos| now.saturating_sub(since) > idle_timeout.as_nanos() as u64;
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain(|c| !outlived(c.idle_since) && c.io.is_quiet(&mut cx));
        self.shared
            .borrow_mut()
            .retain(|c| c.alive.get() && (c.streams.get() > 0 || !outlived(c.idle_since.get())));
    }

    /// Connections kept: idle ones, and shared ones.
    pub fn kept(&self) -> (usize, usize) {
        (self.idle.borrow().len(), self.shared.borrow().len())
    }
}

impl H2Connection {
    fn new(shared: Rc<H2Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        Self { send: shared.send.clone(), shared }
    }

    /// The connection is not to be used again.
    pub fn retire(&self) {
        self.shared.alive.set(false);
    }
}

/// How a failed connection is counted.
fn label(failure: Failure) -> ConnectFailure {
    match failure {
        Failure::ConnectRefused => ConnectFailure::Refused,
        Failure::ConnectTimeout => ConnectFailure::Timeout,
        Failure::UpstreamTls => ConnectFailure::Tls,
        _ => ConnectFailure::Other,
    }
}

enum Opened {
    H1(H1Connection),
    H2(Rc<H2Shared>),
}

async fn open(worker: &Worker, cluster: &Cluster, picked: &Picked, permit: Permit) -> Result<Opened, Error> {
    let timeout = cluster.config.connect_timeout;
    let opening = async {
        match connect(cluster, &picked.endpoint).await? {
            Connected::H1(io) => Ok(Opened::H1(H1Connection {
                io,
                served: 0,
                idle_since: worker.clock.now(),
                _permit: permit,
            })),
            Connected::H2(io) => open_h2(worker, cluster, io, permit).await.map(Opened::H2),
        }
    };
    tokio::time::timeout(timeout, opening).await.unwrap_or_else(|_| Err(Failure::ConnectTimeout.into()))
}

async fn open_h2(worker: &Worker, cluster: &Cluster, io: Io, permit: Permit) -> Result<Rc<H2Shared>, Error> {
    let (send, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(cluster.config.limits.head as u32)
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024)
        .handshake::<_, Bytes>(io.into_transport())
        .await
        .map_err(|error| Error::with(Failure::ConnectFailed, error.to_string()))?;
    let shared = Rc::new(H2Shared {
        send,
        alive: Cell::new(true),
        streams: Cell::new(0),
        idle_since: Cell::new(worker.clock.now()),
    });
    // The driver must not keep the connection alive: it ends when the last handle is gone.
    let watched = Rc::downgrade(&shared);
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/2 connection to an endpoint ended");
        }
        if let Some(shared) = watched.upgrade() {
            shared.alive.set(false);
        }
        drop(permit);
    });
    Ok(shared)
}
