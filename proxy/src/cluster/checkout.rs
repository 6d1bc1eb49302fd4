//! Checkout: how an exchange gets a connection - a kept one, a new one, or by waiting for either within the
//! cluster's limits.

use std::{sync::Arc, time::Duration};

use weir_config::checked::UpstreamProtocol;

use super::{
    Bound, Bounds, Checkout, H1Connection, LocalCluster, Permit, Picked, Purpose, Reuse,
    pool::{EndpointPool, Room},
};
use crate::{
    error::{Error, Failure},
    telemetry::metrics::ConnectFailure,
    worker::Worker,
};

/// How long one who waits for the cluster's connection limit sleeps before it looks again: places that
/// other workers free up wake nobody here.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long an HTTP/2 connection may take to say goodbye before another one is closed in its place.
const GOODBYE: Duration = Duration::from_secs(1);

impl LocalCluster {
    /// A connection to the picked endpoint that is there and serves at once. Who takes it here is spared the
    /// weight of [`checkout`](Self::checkout), which is mostly that of connecting.
    pub fn kept(&self, picked: &Picked<'_>, reuse: Reuse) -> Option<Checkout> {
        let pool = self.pool(picked.index);
        // Who comes later does not overtake those who wait.
        let free = pool.waiting.get() == 0 || pool.may_share(&self.shared);
        if free && reuse != Reuse::Own { pool.take(reuse) } else { None }
    }

    /// A connection to the picked endpoint: a kept one if `reuse` allows and there is one, else a new one,
    /// within the cluster's limits. The caller bounds the time of the exchange; connecting has its own.
    ///
    /// Dropped before it is ready, it leaves the queue.
    pub async fn checkout(
        &self,
        worker: &Worker,
        picked: &Picked<'_>,
        reuse: Reuse,
    ) -> Result<Checkout, Error> {
        if let Some(kept) = self.kept(picked, reuse) {
            return Ok(kept);
        }
        if reuse == Reuse::Own && self.shared.config.protocol != UpstreamProtocol::H2 {
            return self.dial(worker, picked, Purpose::Own).await.map(Checkout::H1);
        }
        let pool = self.pool(picked.index);
        let shares = pool.may_share(&self.shared);
        let mut queue = Queue { cluster: self, pool, worker, place: None };
        if !shares && pool.waiting.get() > 0 {
            queue.wait().await?;
        }
        let opened = pool.opened();
        let _opening = match shares {
            true => Some(queue.turn().await?),
            false => None,
        };
        let permit = loop {
            if let Some(kept) = pool.take(reuse) {
                return Ok(kept);
            }
            if shares && let Some(error) = pool.failed_since(opened) {
                return Err(error);
            }
            if let Some(permit) = queue.place_or_wait().await? {
                break permit;
            }
        };
        drop(queue);
        let opened = pool.open(worker, &self.shared, picked.endpoint, permit).await;
        self.count_opened(worker, opened.as_ref().err());
        opened
    }

    /// A new connection to the picked endpoint for one use, within the cluster's limits and its time to connect.
    pub async fn dial(
        &self,
        worker: &Worker,
        picked: &Picked<'_>,
        purpose: Purpose,
    ) -> Result<H1Connection, Error> {
        let pool = self.pool(picked.index);
        let mut queue = Queue { cluster: self, pool, worker, place: None };
        let permit = loop {
            if let Some(permit) = queue.place_or_wait().await? {
                break permit;
            }
        };
        drop(queue);
        let opened = EndpointPool::open_own(worker, &self.shared, picked.endpoint, permit, purpose).await;
        self.count_opened(worker, opened.as_ref().err());
        opened
    }

    fn count_opened(&self, worker: &Worker, failed: Option<&Error>) {
        let metrics = &self.shared.metrics;
        match failed {
            None => metrics.connections.one(worker.index),
            Some(error) => metrics.connect_failures.one(worker.index, label(error.failure)),
        }
    }

    /// Takes back a connection that can serve another exchange.
    pub fn give_back(&self, worker: &Worker, index: usize, connection: H1Connection) {
        let pool = self.pool(index);
        if !self.wanted_elsewhere(worker, pool) {
            pool.give_back(worker, connection);
        }
    }

    /// Whether to close a connection in favour of those who wait for room at other endpoints or workers: by
    /// chance, in proportion to those who wait here, so that nobody waits for ever.
    fn wanted_elsewhere(&self, worker: &Worker, pool: &EndpointPool) -> bool {
        let (all, here) = (self.bounds.pending.current(), pool.waiting.get());
        all > here && self.is_full() && worker.random() % u64::from(all) >= u64::from(here)
    }

    /// Closes connections that idled too long or that the endpoint closed. If somebody waits for room, an
    /// idle one must not take it up. Tells the budget of retries how many requests there were, and looks
    /// at the health of endpoints.
    pub fn tend(&self, worker: &Worker) {
        self.shared.budget.look(worker.now(), self.shared.requests_so_far());
        self.shared.tend_health(worker);
        for pool in self.pools() {
            pool.tend(worker, self.shared.config.idle_timeout);
        }
        self.kin.tend(worker, self.shared.config.idle_timeout);
        if self.bounds.pending.current() > 0 && self.is_full() {
            self.make_room();
        }
    }

    /// Closes connections that are not in use now.
    pub fn close_unused(&self, worker: &Worker) {
        self.pools().iter().for_each(|pool| pool.tend(worker, Duration::ZERO));
        self.kin.tend(worker, Duration::ZERO);
    }

    fn is_full(&self) -> bool {
        self.bounds.connections.current() >= self.bounds.connections.most()
    }

    /// The limit is reached: unused connections of this worker must not hold it.
    fn make_room(&self) -> Option<Room> {
        self.pools().iter().find_map(|pool| pool.close_one()).or_else(|| self.kin.close_one())
    }
}

/// An exchange's place among those who wait.
struct Queue<'a> {
    cluster: &'a LocalCluster,
    pool: &'a EndpointPool,
    worker: &'a Worker,
    place: Option<Permit<&'a Bounds>>,
}

impl<'a> Queue<'a> {
    /// A place for one more connection. None: there was none, and now there may be.
    async fn place_or_wait(&mut self) -> Result<Option<Permit<Arc<Bounds>>>, Error> {
        let bounds = Arc::clone(&self.cluster.bounds);
        let place = Permit::acquire(bounds, Bound::Connections, self.worker.index);
        if place.is_some() {
            return Ok(place);
        }
        match self.cluster.make_room() {
            Some(Room::Now) => {}
            // One is enough, so nothing else is closed until its place is free.
            Some(Room::Soon(closing)) => drop(tokio::time::timeout(GOODBYE, closing.done()).await),
            None => self.wait().await?,
        }
        Ok(None)
    }

    /// Waits until something was given back, or until it is time to look again.
    async fn wait(&mut self) -> Result<(), Error> {
        if self.place.is_none() {
            self.join()?;
            self.cluster.bounds.count_limit_hit(Bound::Connections, self.worker.index);
        }
        let _ = tokio::time::timeout(LOOK_AGAIN, self.pool.freed.notified()).await;
        Ok(())
    }

    /// Waits for the turn to open a connection that others may share.
    async fn turn(&mut self) -> Result<tokio::sync::MutexGuard<'a, ()>, Error> {
        if let Ok(turn) = self.pool.opening.try_lock() {
            return Ok(turn);
        }
        self.join()?;
        Ok(self.pool.opening.lock().await)
    }

    fn join(&mut self) -> Result<(), Error> {
        let bounds: &'a Bounds = &self.cluster.bounds;
        let Some(place) = Permit::acquire(bounds, Bound::Pending, self.worker.index) else {
            bounds.count_limit_hit(Bound::Pending, self.worker.index);
            return Err(Failure::PendingLimit.into());
        };
        self.place = Some(place);
        self.pool.waiting.set(self.pool.waiting.get() + 1);
        Ok(())
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.pool.waiting.set(self.pool.waiting.get() - 1);
        }
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
