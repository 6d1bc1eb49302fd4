//! Connections to one endpoint that one worker keeps: idle HTTP/1.1 ones, and HTTP/2 ones in use by many.
//!
//! No task watches an idle HTTP/1.1 connection: the reactor knows whether the endpoint has spoken or left,
//! and checkout asks it. A periodic [`EndpointPool::tend`] closes what idled too long.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::sync::{Mutex, Notify};
use weir_config::checked::UpstreamProtocol;

use super::{
    Bounds, Cluster, Permit,
    connect::{Connected, Purpose, connect},
    endpoint::Endpoint,
    multiplexed::{Closing, H2Connection, Multiplexed},
};
use crate::{
    clock::Nanos,
    error::{Error, Failure},
    stream::Io,
    worker::Worker,
};

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(super) struct EndpointPool {
    idle: RefCell<Vec<H1Connection>>,
    shared: RefCell<Vec<Rc<Multiplexed>>>,
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
    /// The endpoint left the cluster, or is connected to in another way: nothing is kept any more.
    retired: Cell<bool>,
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
    _permit: Permit<Arc<Bounds>>,
}

/// Which of the connections that are there may serve an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// All.
    Any,
    /// Those that exchanges share, after one took no request. An idle one may have ended just as well, and
    /// nobody would know; of those that are shared it is known, so that all who lost one do not open one each.
    Shared,
    /// None.
    Never,
    /// None, and the new one is nobody else's afterwards: HTTP/1.1 unless the cluster is for HTTP/2 alone, whose
    /// connections are shared nevertheless.
    Own,
}

impl Reuse {
    /// What may serve an exchange after such a one took no request.
    pub fn after_failure(self) -> Self {
        match self {
            Self::Any => Self::Shared,
            Self::Shared | Self::Never => Self::Never,
            Self::Own => Self::Own,
        }
    }
}

/// Room that a closed connection leaves.
#[derive(Debug)]
pub(super) enum Room {
    /// It is there.
    Now,
    /// It is there when this connection has said goodbye.
    Soon(Closing),
}

impl EndpointPool {
    /// A kept connection that can be used at once.
    pub(super) fn take(&self, reuse: Reuse) -> Option<Checkout> {
        if reuse != Reuse::Never
            && let Some(connection) = self.take_shared()
        {
            return Some(Checkout::H2(connection));
        }
        if reuse != Reuse::Any {
            return None;
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
        shared.retain(|connection| connection.is_alive());
        let least = shared.iter().filter(|c| c.has_room()).min_by_key(|c| c.streams())?;
        Some(least.lend(true))
    }

    /// Takes back a connection that can serve another exchange.
    pub(super) fn give_back(&self, worker: &Worker, mut connection: H1Connection) {
        connection.served = connection.served.saturating_add(1);
        connection.idle_since = worker.recent();
        if self.retired.get() {
            return;
        }
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
        permit: Permit<Arc<Bounds>>,
    ) -> Result<Checkout, Error> {
        let timeout = cluster.config.connect_timeout;
        let opening = async {
            match connect(cluster, endpoint, Purpose::Pool).await? {
                Connected::H1(io) => {
                    self.speaks_h1.set(true);
                    let idle_since = worker.now();
                    Ok(Checkout::H1(H1Connection { io, served: 0, idle_since, _permit: permit }))
                }
                Connected::H2(io) => {
                    self.speaks_h1.set(false);
                    let freed = Rc::clone(&self.freed);
                    let shared = Multiplexed::open(worker, cluster, io, permit, freed).await?;
                    let lent = shared.lend(false);
                    if !self.retired.get() {
                        self.shared.borrow_mut().push(shared);
                    }
                    Ok(Checkout::H2(lent))
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

    /// A new connection that does not come back here.
    pub(super) async fn open_own(
        worker: &Worker,
        cluster: &Cluster,
        endpoint: &Endpoint,
        permit: Permit<Arc<Bounds>>,
        purpose: Purpose,
    ) -> Result<H1Connection, Error> {
        let opened =
            tokio::time::timeout(cluster.config.connect_timeout, connect(cluster, endpoint, purpose));
        let (Connected::H1(io) | Connected::H2(io)) =
            opened.await.unwrap_or_else(|_| Err(Failure::ConnectTimeout.into()))?;
        Ok(H1Connection { io, served: 0, idle_since: worker.now(), _permit: permit })
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
    pub(super) fn close_one(&self) -> Option<Room> {
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.remove(0);
            return Some(Room::Now);
        }
        let mut shared = self.shared.borrow_mut();
        let unused = shared.iter().position(|connection| connection.streams() == 0)?;
        Some(Room::Soon(shared.remove(unused).closing()))
    }

    /// Whether there is no connection, but for those that exchanges have to themselves.
    pub(super) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.shared.borrow().is_empty()
    }

    /// Closes what is unused now, and what is in use when it is given back.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        // Those in use close with their last exchange.
        self.shared.borrow_mut().clear();
    }

    /// Closes what idled too long, and what the endpoint closed.
    pub(super) fn tend(&self, worker: &Worker, idle_timeout: Duration) {
        let now = worker.now();
        let outlived = |since: Nanos| u128::from(now.saturating_sub(since)) > idle_timeout.as_nanos();
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain(|c| !outlived(c.idle_since) && c.io.is_quiet(&mut cx));
        self.shared.borrow_mut().retain(|c| c.is_alive() && (c.streams() > 0 || !outlived(c.idle_since())));
    }
}
