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
    Cluster,
    connect::{Connected, connect},
    endpoint::Endpoint,
    shared::Permit,
};
use crate::{
    clock::{Clock, Nanos},
    error::{Error, Failure},
    stream::Io,
    worker::Worker,
};

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(super) struct EndpointPool {
    idle: RefCell<Vec<H1Connection>>,
    shared: RefCell<Vec<Rc<H2Shared>>>,
    /// What ALPN chose last.
    speaks_h1: Cell<bool>,
    /// One opens a connection that may turn out to be HTTP/2, the others wait for it.
    pub(super) opening: Mutex<()>,
    /// Attempts to open one, and how the last one failed, so that those who waited for it fail with it
    /// instead of one after the other.
    opened: Cell<u64>,
    failed: RefCell<Option<(u64, Error)>>,
    /// A connection or a stream was given back.
    pub(super) freed: Rc<Notify>,
    /// Exchanges that wait here.
    pub(super) waiting: Cell<u32>,
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
    /// Another exchange has used the connection before.
    pub kept: bool,
    since: Nanos,
    shared: Rc<H2Shared>,
}

#[derive(Debug)]
struct H2Shared {
    send: SendRequest<Bytes>,
    alive: Cell<bool>,
    streams: Cell<usize>,
    /// When the endpoint last answered on it.
    heard: Cell<Nanos>,
    idle_since: Cell<Nanos>,
    clock: Clock,
    freed: Rc<Notify>,
}

impl Drop for H2Connection {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get() - 1);
        self.shared.idle_since.set(self.shared.clock.now());
        self.shared.freed.notify_one();
    }
}

impl EndpointPool {
    /// A kept connection that can be used at once.
    pub(super) fn take(&self) -> Option<Checkout> {
        if let Some(connection) = self.take_shared() {
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

    fn take_shared(&self) -> Option<H2Connection> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|connection| connection.alive.get());
        let least = shared
            .iter()
            .filter(|c| c.streams.get() < c.send.current_max_send_streams())
            .min_by_key(|c| c.streams.get())?;
        Some(H2Connection::new(Rc::clone(least), true))
    }

    /// Takes back a connection that can serve another exchange.
    pub(super) fn give_back(&self, worker: &Worker, mut connection: H1Connection) {
        connection.served = connection.served.saturating_add(1);
        connection.idle_since = worker.clock.now();
        self.idle.borrow_mut().push(connection);
        self.freed.notify_one();
    }

    /// Whether a connection that is opened now may serve several exchanges at once, as far as is known.
    pub(super) fn may_share(&self, cluster: &Cluster) -> bool {
        match cluster.config.protocol {
            UpstreamProtocol::H1 => false,
            UpstreamProtocol::H2 => true,
            UpstreamProtocol::Auto => cluster.tls.is_some() && !self.speaks_h1.get(),
        }
    }

    /// A new connection.
    pub(super) async fn open(
        &self,
        worker: &Worker,
        cluster: &Cluster,
        endpoint: &Endpoint,
        permit: Permit,
    ) -> Result<Checkout, Error> {
        let timeout = cluster.config.connect_timeout;
        let opening = async {
            match connect(cluster, endpoint).await? {
                Connected::H1(io) => {
                    self.speaks_h1.set(true);
                    let idle_since = worker.clock.now();
                    Ok(Checkout::H1(H1Connection { io, served: 0, idle_since, _permit: permit }))
                }
                Connected::H2(io) => {
                    self.speaks_h1.set(false);
                    let shared = open_h2(worker, cluster, io, permit, Rc::clone(&self.freed)).await?;
                    self.shared.borrow_mut().push(Rc::clone(&shared));
                    Ok(Checkout::H2(H2Connection::new(shared, false)))
                }
            }
        };
        let opened = tokio::time::timeout(timeout, opening).await;
        let opened: Result<_, Error> = opened.unwrap_or_else(|_| Err(Failure::ConnectTimeout.into()));
        self.opened.set(self.opened.get() + 1);
        if let Err(error) = &opened {
            *self.failed.borrow_mut() = Some((self.opened.get(), error.clone()));
        }
        opened
    }

    /// How many connections were opened so far, or were not.
    pub(super) fn opened(&self) -> u64 {
        self.opened.get()
    }

    /// How the last attempt to open one failed, if there was one since `opened`.
    pub(super) fn failed_since(&self, opened: u64) -> Option<Error> {
        self.failed.borrow().as_ref().filter(|(at, _)| *at > opened).map(|(_, error)| error.clone())
    }

    /// Closes the connection that is unused for longest, if there is one.
    pub(super) fn close_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.remove(0);
            return true;
        }
        let mut shared = self.shared.borrow_mut();
        let unused = shared.iter().position(|connection| connection.streams.get() == 0);
        unused.map(|at| shared.remove(at)).is_some()
    }

    /// Closes what idled too long, and what the endpoint closed.
    pub(super) fn tend(&self, worker: &Worker, idle_timeout: Duration) {
        let now = worker.clock.now();
        let outlived = |since: Nanos| u128::from(now.saturating_sub(since)) > idle_timeout.as_nanos();
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain(|c| !outlived(c.idle_since) && c.io.is_quiet(&mut cx));
        self.shared
            .borrow_mut()
            .retain(|c| c.alive.get() && (c.streams.get() > 0 || !outlived(c.idle_since.get())));
    }
}

impl H2Connection {
    fn new(shared: Rc<H2Shared>, kept: bool) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        Self { send: shared.send.clone(), kept, since: shared.clock.now(), shared }
    }

    /// Tells how the exchange went. A connection on which nothing was answered for as long as an exchange may
    /// take has probably lost its endpoint, and TCP would not notice for a quarter of an hour.
    pub fn ended(&self, failure: Option<Failure>) {
        match failure {
            None => self.shared.heard.set(self.shared.clock.now()),
            Some(Failure::ExchangeTimeout) if self.shared.heard.get() < self.since => self.retire(),
            Some(_) => {}
        }
    }

    /// The connection is not to be used again.
    pub fn retire(&self) {
        self.shared.alive.set(false);
    }
}

async fn open_h2(
    worker: &Worker,
    cluster: &Cluster,
    io: Io,
    permit: Permit,
    freed: Rc<Notify>,
) -> Result<Rc<H2Shared>, Error> {
    let (send, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(u32::try_from(cluster.config.limits.head).unwrap_or(u32::MAX))
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024)
        .handshake::<_, Bytes>(io.into_transport())
        .await
        .map_err(|error| Error::with(Failure::ConnectFailed, error.to_string()))?;
    let shared = Rc::new(H2Shared {
        send,
        alive: Cell::new(true),
        streams: Cell::new(0),
        heard: Cell::new(0),
        idle_since: Cell::new(worker.clock.now()),
        clock: worker.clock,
        freed,
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
