//! [`Cluster`]: what all workers share of a group of endpoints.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use weir_balance::{Algorithm, Budget, Ejector, Limit, Picker};
use weir_config::checked;

use super::{Endpoint, connect::Resolved, endpoint::Target, health::ejector};
use crate::{
    telemetry::metrics::{ClusterMetrics, CodeClass, Gauge, Label, LimitHit},
    tls::ClientTls,
};

/// What an endpoint is taken for that has not answered yet, and how long a latency is remembered: shown by
/// the admin API whichever the balancer.
const DEFAULT_RTT: Duration = Duration::from_millis(30);
const DEFAULT_DECAY: Duration = Duration::from_secs(10);

/// A cluster. Lives on across configurations that do not change it.
pub struct Cluster {
    /// What it was made from; equal config means the cluster is kept.
    pub config: checked::Cluster,
    /// In config's order.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Chooses among all endpoints, unless they have several priorities.
    pub picker: Picker,
    /// Not all endpoints have the same priority.
    pub(super) has_priorities: bool,
    /// How many endpoints are not used.
    pub(super) out: AtomicU32,
    /// Takes out those whose answers are bad.
    pub(super) ejector: Ejector,
    /// How connections are secured.
    pub tls: Option<ClientTls>,
    /// Exchanges under way.
    pub requests: Limit,
    /// Exchanges that wait for a connection.
    pub pending: Limit,
    /// Open connections.
    pub connections: Limit,
    /// What retries may add.
    pub budget: Budget,
    /// What is counted.
    pub metrics: Arc<ClusterMetrics>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", self.name()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Builds a cluster of resolved endpoints. Those that were in `before` already, and are the same, go on with
    /// what is known of them.
    pub fn new(
        config: checked::Cluster,
        resolved: Vec<Resolved>,
        tls: Option<ClientTls>,
        metrics: Arc<ClusterMetrics>,
        before: Option<&Cluster>,
    ) -> Self {
        let (default_rtt, decay) = latency(&config.balancer);
        let before = before.filter(|before| latency(&before.config.balancer) == (default_rtt, decay));
        let mut known: HashMap<&Target, &Arc<Endpoint>> =
            before.iter().flat_map(|before| &before.endpoints).map(|e| (&e.target, e)).collect();
        // Taken out, since config may list an address twice.
        let one = |resolved: Resolved| match known.remove(&resolved.target) {
            Some(endpoint) if endpoint.is(&resolved) => Arc::clone(endpoint),
            _ => Arc::new(Endpoint::new(resolved, default_rtt, decay)),
        };
        let endpoints: Vec<_> = resolved.into_iter().map(one).collect();
        let cluster = Self {
            picker: Picker::new(algorithm(&config.balancer), &endpoints),
            has_priorities: endpoints.windows(2).any(|pair| pair[0].priority != pair[1].priority),
            endpoints,
            out: AtomicU32::new(0),
            ejector: ejector(&config.ejection),
            tls,
            requests: Limit::new(config.limits.requests),
            pending: Limit::new(config.limits.pending),
            connections: Limit::new(config.limits.connections),
            budget: Budget::new(config.retry.budget_percent, config.retry.budget_per_second),
            metrics,
            config,
        };
        // Those that go on from before may be out.
        let known = before.map_or(&[][..], |before| &before.endpoints);
        cluster.presume(|endpoint| known.iter().any(|other| std::ptr::eq(&**other, endpoint)));
        cluster
    }

    /// Exchanges since the beginning, those under way included. Adds up what all workers counted: not for each
    /// exchange.
    pub fn requests_so_far(&self) -> u64 {
        let ended: u64 = CodeClass::ALL.iter().map(|class| self.metrics.requests.sum(*class)).sum();
        ended + self.metrics.requests_active.sum()
    }

    /// The name in config, logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }
}

/// What an endpoint is taken for at first, and how long a latency is remembered.
fn latency(balancer: &checked::Balancer) -> (Duration, Duration) {
    match *balancer {
        checked::Balancer::PeakEwma { decay, default_rtt } => (default_rtt, decay),
        _ => (DEFAULT_RTT, DEFAULT_DECAY),
    }
}

pub(super) fn algorithm(balancer: &checked::Balancer) -> Algorithm {
    match balancer {
        checked::Balancer::RoundRobin => Algorithm::RoundRobin,
        checked::Balancer::Random => Algorithm::Random,
        checked::Balancer::LeastRequest => Algorithm::LeastRequest,
        checked::Balancer::PeakEwma { .. } => Algorithm::PeakEwma,
        checked::Balancer::RingHash => Algorithm::RingHash,
        checked::Balancer::Maglev => Algorithm::Maglev,
    }
}

/// Which of a cluster's limits a [`Permit`] counts against.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// `limits.requests`.
    Requests,
    /// `limits.pending`.
    Pending,
    /// `limits.connections`.
    Connections,
}

/// A place within a limit, given back when dropped. A gauge shows how many are taken.
///
/// What lives on by itself, as a connection does, holds an `Arc` of its cluster; an exchange borrows its cluster,
/// because all workers would write that count.
#[derive(Debug)]
pub struct Permit<C: Deref<Target = Cluster>> {
    cluster: C,
    bound: Bound,
    worker: usize,
}

impl<C: Deref<Target = Cluster>> Permit<C> {
    /// Takes a place for the worker at this position; none = the limit is reached, which is for the caller
    /// to [count](Cluster::count_limit_hit).
    pub fn acquire(cluster: C, bound: Bound, worker: usize) -> Option<Self> {
        if !cluster.limit(bound).try_acquire() {
            return None;
        }
        cluster.gauge(bound).up(worker);
        Some(Self { cluster, bound, worker })
    }
}

impl<C: Deref<Target = Cluster>> Drop for Permit<C> {
    fn drop(&mut self) {
        self.cluster.limit(self.bound).release();
        self.cluster.gauge(self.bound).down(self.worker);
    }
}

impl Cluster {
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
