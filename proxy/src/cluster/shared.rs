//! [`Cluster`]: what all workers share of a group of endpoints.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use weir_balance::{Algorithm, Budget, Ejector, Picker, SlowStart};
use weir_config::checked;

use super::{Bounds, Endpoint, health::ejector};
use crate::{
    discovery::{Following, Resolved, Target},
    telemetry::metrics::{ClusterMetrics, CodeClass, Label},
    tls::ClientTls,
};

/// What an endpoint is taken for that has not answered yet, and how long a latency is remembered: shown by
/// the admin API whichever the balancer.
const DEFAULT_RTT: Duration = Duration::from_millis(30);
const DEFAULT_DECAY: Duration = Duration::from_secs(10);

/// A cluster. Lives on across configurations that do not change it.
pub struct Cluster {
    /// What it was made from; equal config means the cluster is kept.
    pub config: Arc<checked::Cluster>,
    /// In config's order; those without a name first.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Where they are told, and which version of that they are.
    pub followed: Option<(Arc<Following>, u64)>,
    /// Chooses among all endpoints, unless they are in parts.
    pub picker: Picker,
    /// Endpoints have several priorities, or some are in the proxy's own zone and some are not.
    pub(super) in_parts: bool,
    /// Twice the number of endpoints that are not used, and one if some are not used for their whole weight yet.
    pub(super) care: AtomicU32,
    /// How those are eased in that come into use.
    pub(super) slow_start: Option<SlowStart>,
    /// Takes out those whose answers are bad.
    pub(super) ejector: Ejector,
    /// How connections are secured.
    pub tls: Option<Arc<ClientTls>>,
    /// What it is spared; the same for all clusters that come one after the other under its name. The limits of
    /// this one are adopted when it comes into force.
    pub bounds: Arc<Bounds>,
    /// What retries may add. It goes on as long as its rules stay the same.
    pub budget: Arc<Budget>,
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
    /// what is known of them; limits go on with what is under way.
    pub fn new(
        config: Arc<checked::Cluster>,
        listed: Listed,
        tls: Option<Arc<ClientTls>>,
        metrics: Arc<ClusterMetrics>,
        before: Option<&Cluster>,
    ) -> Self {
        let bounds = match before {
            Some(before) => Arc::clone(&before.bounds),
            None => Bounds::new(&config.limits, Arc::clone(&metrics)),
        };
        let budget = before.filter(|before| before.config.retry == config.retry).map_or_else(
            || Arc::new(Budget::new(config.retry.budget_percent, config.retry.budget_per_second)),
            |before| Arc::clone(&before.budget),
        );
        let (default_rtt, decay) = latency(&config.balancer);
        let same_latency = before.is_none_or(|b| latency(&b.config.balancer) == (default_rtt, decay));
        let mut known: HashMap<&Target, &Arc<Endpoint>> =
            before.iter().flat_map(|before| &before.endpoints).map(|e| (&e.target, e)).collect();
        let mut newcomers = HashSet::new();
        let one = |(position, resolved): (usize, Resolved)| {
            // Taken out, since config may list an address twice.
            match known.remove(&resolved.target) {
                Some(endpoint) if same_latency && endpoint.is(&resolved) => Arc::clone(endpoint),
                Some(before) => Arc::new(Endpoint::in_place_of(before, resolved, default_rtt, decay)),
                None => {
                    newcomers.insert(position);
                    Arc::new(Endpoint::new(resolved, default_rtt, decay))
                }
            }
        };
        let endpoints: Vec<_> = listed.endpoints.into_iter().enumerate().map(one).collect();
        let cluster = Self {
            picker: Picker::new(algorithm(&config.balancer), &endpoints),
            in_parts: are_in_parts(&endpoints, config.own_zone.as_deref()),
            endpoints,
            followed: listed.followed,
            care: AtomicU32::new(0),
            slow_start: config.slow_start.map(SlowStart::new),
            ejector: ejector(&config.ejection),
            tls,
            bounds,
            budget,
            metrics,
            config,
        };
        if before.is_some_and(|before| before.slow_start.is_none()) {
            // Who came while nobody was eased in is not new any more.
            cluster.endpoints.iter().for_each(|endpoint| endpoint.standing.settle());
        }
        // Those that go on from before may be out.
        cluster.presume(|position| newcomers.contains(&position));
        cluster
    }

    /// Exchanges since the beginning, those under way included. Adds up what all workers counted: not for each
    /// exchange.
    pub fn requests_so_far(&self) -> u64 {
        let ended: u64 = CodeClass::ALL.iter().map(|class| self.metrics.requests.sum(*class)).sum();
        ended + self.metrics.requests_active.sum()
    }

    /// The same with the endpoints as they are told now. None: they are as they were.
    pub fn renewed(&self) -> Option<Self> {
        let (following, version) = self.followed.as_ref()?;
        if following.version() == *version {
            return None;
        }
        let (config, tls, metrics) = (Arc::clone(&self.config), self.tls.clone(), Arc::clone(&self.metrics));
        Some(Self::new(config, Listed::now(following), tls, metrics, Some(self)))
    }

    /// The name in config, logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Whether connections that were made for `before` are as this one would make them.
    pub(super) fn connects_like(&self, before: &Self) -> bool {
        let (config, was) = (&self.config, &before.config);
        (config.protocol, &config.tls, config.limits.head) == (was.protocol, &was.tls, was.limits.head)
    }
}

/// The endpoints that a cluster is made of.
#[derive(Debug)]
pub struct Listed {
    endpoints: Vec<Resolved>,
    followed: Option<(Arc<Following>, u64)>,
}

impl Listed {
    /// Those that never change.
    pub fn fixed(endpoints: Vec<Resolved>) -> Self {
        Self { endpoints, followed: None }
    }

    /// Those that are told now.
    pub fn now(following: &Arc<Following>) -> Self {
        let (version, endpoints) = following.endpoints();
        Self { endpoints, followed: Some((Arc::clone(following), version)) }
    }
}

/// What an endpoint is taken for at first, and how long a latency is remembered.
fn latency(balancer: &checked::Balancer) -> (Duration, Duration) {
    match *balancer {
        checked::Balancer::PeakEwma { decay, default_rtt } => (default_rtt, decay),
        _ => (DEFAULT_RTT, DEFAULT_DECAY),
    }
}

fn are_in_parts(endpoints: &[Arc<Endpoint>], own_zone: Option<&str>) -> bool {
    let near = |endpoint: &Endpoint| own_zone.is_some() && endpoint.zone() == own_zone;
    let part = |endpoint: &Endpoint| (endpoint.priority, near(endpoint));
    endpoints.windows(2).any(|pair| part(&pair[0]) != part(&pair[1]))
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
