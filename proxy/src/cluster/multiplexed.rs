//! HTTP/2 connections to an endpoint, each in use by many exchanges of one worker.

use std::{cell::Cell, future::pending, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{PingPong, client::SendRequest};
use tokio::sync::Notify;

use super::{Bounds, Cluster, Permit};
use crate::{
    clock::{Clock, Nanos},
    error::{Error, Failure},
    stream::Io,
    worker::Worker,
};

/// How often, and in which steps, a new connection's settings are waited for.
const SETTINGS_LOOKS: u32 = 500;
const SETTINGS_PAUSE: Duration = Duration::from_millis(2);

/// One exchange's use of an HTTP/2 connection.
#[derive(Debug)]
pub struct H2Connection {
    /// Opens the stream.
    pub send: SendRequest<Bytes>,
    /// Another exchange has used the connection before.
    pub kept: bool,
    since: Nanos,
    shared: Rc<Multiplexed>,
}

/// A connection that exchanges share. When the last handle is gone, its driver closes it.
#[derive(Debug)]
pub(super) struct Multiplexed {
    send: SendRequest<Bytes>,
    alive: Cell<bool>,
    streams: Cell<usize>,
    /// When an exchange last ended well on it.
    heard: Cell<Nanos>,
    idle_since: Cell<Nanos>,
    clock: Clock,
    /// Told when a stream ends.
    freed: Rc<Notify>,
    driver: Rc<Driver>,
}

/// What a connection and the task that drives it tell each other.
#[derive(Debug, Default)]
struct Driver {
    /// Whether the endpoint is still there is to be found out.
    doubted: Notify,
    /// The connection is closed and its place free.
    closed: Notify,
}

/// A connection that is being closed.
#[derive(Debug)]
pub(super) struct Closing(Rc<Driver>);

impl Closing {
    /// Waits until the connection's place is free.
    pub(super) async fn done(self) {
        self.0.closed.notified().await;
    }
}

impl Drop for H2Connection {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get() - 1);
        self.shared.idle_since.set(self.shared.clock.now());
        self.shared.freed.notify_one();
    }
}

impl H2Connection {
    /// Tells how the exchange went. If nothing was answered since it began, its connection has perhaps lost the
    /// endpoint, and TCP would not notice for a quarter of an hour: the endpoint is asked.
    pub fn ended(&self, failure: Option<Failure>) {
        match failure {
            None => self.shared.heard.set(self.shared.clock.now()),
            Some(Failure::ExchangeTimeout | Failure::AttemptTimeout | Failure::UpstreamAborted)
                if self.shared.heard.get() < self.since =>
            {
                self.shared.driver.doubted.notify_one();
            }
            Some(_) => {}
        }
    }

    /// Whether the endpoint takes extended CONNECT (RFC 8441 3). It says so in the first thing it sends, which for a
    /// new connection may still be under way.
    pub async fn takes_tunnels(&self) -> bool {
        for _ in 0..SETTINGS_LOOKS {
            if self.send.is_extended_connect_protocol_enabled() {
                return true;
            }
            if self.shared.heard.get() > 0 {
                break;
            }
            tokio::time::sleep(SETTINGS_PAUSE).await;
        }
        self.send.is_extended_connect_protocol_enabled()
    }

    /// The connection is not to be used again.
    pub fn retire(&self) {
        self.shared.alive.set(false);
    }
}

impl Multiplexed {
    /// Makes `io` a connection to share, which holds `permit` until it is closed.
    pub(super) async fn open(
        worker: &Worker,
        cluster: &Cluster,
        io: Io,
        permit: Permit<Arc<Bounds>>,
        freed: Rc<Notify>,
    ) -> Result<Rc<Self>, Error> {
        let (send, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(u32::try_from(cluster.config.limits.head).unwrap_or(u32::MAX))
            .initial_window_size(256 * 1024)
            .initial_connection_window_size(2 * 1024 * 1024)
            .handshake::<_, Bytes>(io.into_transport())
            .await
            .map_err(|error| Error::with(Failure::ConnectFailed, error.to_string()))?;
        let driver = Rc::new(Driver::default());
        let shared = Rc::new(Self {
            send,
            alive: Cell::new(true),
            streams: Cell::new(0),
            heard: Cell::new(0),
            idle_since: Cell::new(worker.clock.now()),
            clock: worker.clock,
            freed,
            driver: Rc::clone(&driver),
        });
        // The driver must not keep the connection alive: it ends when the last handle is gone.
        let watched = Rc::downgrade(&shared);
        let retire = move || watched.upgrade().into_iter().for_each(|shared| shared.alive.set(false));
        let patience = cluster.config.connect_timeout;
        tokio::task::spawn_local(async move {
            let pings = connection.ping_pong();
            let until_lost = async {
                lost(&driver, pings, patience).await;
                // What is under way has time limits of its own.
                retire();
                pending().await
            };
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "HTTP/2 connection to an endpoint ended");
                },
                () = until_lost => {}
            }
            retire();
            drop(permit);
            driver.closed.notify_one();
        });
        Ok(shared)
    }

    /// A use of it by one more exchange.
    pub(super) fn lend(self: &Rc<Self>, kept: bool) -> H2Connection {
        self.streams.set(self.streams.get() + 1);
        H2Connection { send: self.send.clone(), kept, since: self.clock.now(), shared: Rc::clone(self) }
    }

    /// Whether it can be used, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        self.alive.get()
    }

    /// Exchanges that use it.
    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Whether the endpoint bears one stream more.
    pub(super) fn has_room(&self) -> bool {
        self.streams.get() < self.send.current_max_send_streams()
    }

    /// Since when nobody uses it; only says something if nobody does.
    pub(super) fn idle_since(&self) -> Nanos {
        self.idle_since.get()
    }

    /// What tells when it is closed, after all let go of it.
    pub(super) fn closing(&self) -> Closing {
        Closing(Rc::clone(&self.driver))
    }
}

/// Ends when the connection was in doubt and its endpoint did not answer a PING for as long as connecting may
/// take: it could just as well not be reached anew.
async fn lost(driver: &Driver, pings: Option<PingPong>, patience: Duration) {
    let Some(mut pings) = pings else { return pending().await };
    loop {
        driver.doubted.notified().await;
        match tokio::time::timeout(patience, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection ends, which its driver hears.
            Ok(Err(_)) => return pending().await,
            Err(_) => return,
        }
    }
}
