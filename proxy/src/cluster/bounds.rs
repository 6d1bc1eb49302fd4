//! [`Bounds`]: what a cluster is spared, and the places within it.
//!
//! They stand apart from the cluster because they outlive it: when its endpoints or its configuration change, what
//! is under way still counts, and a connection that is kept must not keep the old cluster in memory.

use std::{ops::Deref, sync::Arc};

use weir_balance::Limit;
use weir_config::checked::ClusterLimits;

use crate::telemetry::metrics::{ClusterMetrics, Gauge, LimitHit};

/// The limits of a cluster, over all workers.
pub struct Bounds {
    /// Exchanges under way.
    pub requests: Limit,
    /// Exchanges that wait for a connection.
    pub pending: Limit,
    /// Open connections.
    pub connections: Limit,
    metrics: Arc<ClusterMetrics>,
}

impl std::fmt::Debug for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let current = [&self.requests, &self.pending, &self.connections].map(Limit::current);
        f.debug_struct("Bounds").field("current", &current).finish_non_exhaustive()
    }
}

/// One of the limits.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// `limits.requests`.
    Requests,
    /// `limits.pending`.
    Pending,
    /// `limits.connections`.
    Connections,
}

impl Bounds {
    /// Nothing under way.
    pub(super) fn new(limits: &ClusterLimits, metrics: Arc<ClusterMetrics>) -> Arc<Self> {
        Arc::new(Self {
            requests: Limit::new(limits.requests),
            pending: Limit::new(limits.pending),
            connections: Limit::new(limits.connections),
            metrics,
        })
    }

    /// Puts other limits in force. What is beyond a lower one stays until it ends.
    pub fn adopt(&self, limits: &ClusterLimits) {
        let wanted = [limits.requests, limits.pending, limits.connections];
        for (limit, most) in [&self.requests, &self.pending, &self.connections].into_iter().zip(wanted) {
            // Workers read it all the time: only a change is worth taking it from their caches.
            if limit.most() != most {
                limit.set_most(most);
            }
        }
    }

    /// Counts that an exchange met a limit.
    pub fn count_limit_hit(&self, bound: Bound, worker: usize) {
        let hit = match bound {
            Bound::Requests => LimitHit::Requests,
            Bound::Pending => LimitHit::Pending,
            Bound::Connections => LimitHit::Connections,
        };
        self.metrics.limit_hits.one(worker, hit);
    }

    fn gauge(&self, bound: Bound) -> &Gauge {
        match bound {
            Bound::Requests => &self.metrics.requests_active,
            Bound::Pending => &self.metrics.pending,
            Bound::Connections => &self.metrics.connections_active,
        }
    }

    fn limit(&self, bound: Bound) -> &Limit {
        match bound {
            Bound::Requests => &self.requests,
            Bound::Pending => &self.pending,
            Bound::Connections => &self.connections,
        }
    }
}

/// A place within a limit, given back when dropped. A gauge shows how many are taken.
///
/// What lives on by itself, as a connection does, holds an `Arc` of the bounds; an exchange borrows them, because
/// all workers would write that count.
#[derive(Debug)]
pub struct Permit<B: Deref<Target = Bounds>> {
    bounds: B,
    bound: Bound,
    worker: usize,
}

impl<B: Deref<Target = Bounds>> Permit<B> {
    /// Takes a place for the worker at this position; none = the limit is reached, which is for the caller
    /// to [count](Bounds::count_limit_hit).
    pub fn acquire(bounds: B, bound: Bound, worker: usize) -> Option<Self> {
        if !bounds.limit(bound).try_acquire() {
            return None;
        }
        bounds.gauge(bound).up(worker);
        Some(Self { bounds, bound, worker })
    }
}

impl<B: Deref<Target = Bounds>> Drop for Permit<B> {
    fn drop(&mut self) {
        self.bounds.limit(self.bound).release();
        self.bounds.gauge(self.bound).down(self.worker);
    }
}
