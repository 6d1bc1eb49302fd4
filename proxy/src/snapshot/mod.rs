//! The snapshot: one configuration made ready for work, swapped whole.
//!
//! [`Snapshot`] is shared and immutable; [`LocalSnapshot`] is what one worker makes of it. An exchange takes
//! the local one once and finishes on it, whatever is swapped meanwhile.

mod build;
mod identities;
mod local;
mod overload;
mod renewal;
mod slots;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use weir_config::checked::{self, Config};

pub use build::{BuildError, Builder, Built, Builtins, Settled};
pub use local::{Chain, Heads, LocalListener, LocalSnapshot, LocalState};
pub use overload::Overload;
pub use renewal::Renewal;

use crate::{
    chain::FilterPlan,
    cluster::Cluster,
    identity::Identity,
    telemetry::metrics::{ListenerMetrics, Metrics, SHARED},
    tls::ServerTls,
};

/// One configuration, ready for work.
pub struct Snapshot {
    /// Counts up with each configuration that came into force.
    pub generation: u64,
    /// What it was built from, with slots for the positions of clusters.
    pub config: Arc<Config>,
    /// In config's order.
    pub listeners: Vec<Arc<ListenerPlan>>,
    /// In config's order.
    pub filters: Vec<Arc<FilterPlan>>,
    /// By slot: see [`Builder`].
    pub clusters: Vec<Option<Arc<Cluster>>>,
    /// In config's order.
    pub identities: Vec<Arc<Identity>>,
    _alive: Alive,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A listener, ready for connections.
pub struct ListenerPlan {
    /// From config.
    pub config: checked::Listener,
    /// Ends TLS, if there is any.
    pub tls: Option<Arc<ServerTls>>,
    /// What is counted.
    pub metrics: Arc<ListenerMetrics>,
}

impl std::fmt::Debug for ListenerPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListenerPlan").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// What all threads share: which snapshot is in force.
pub struct Shared {
    current: ArcSwap<Snapshot>,
    generation: AtomicU64,
    /// Told of each swap; for those who keep filters' data fresh, check endpoints and listen to agents.
    pub swapped: watch::Sender<()>,
    /// Counts up with each swap, those that only change endpoints included.
    version: AtomicU64,
    /// Whether nothing more is taken on. Beside the version, which all who ask have looked at.
    pub overload: Overload,
    /// All numbers.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Shared {
    /// With the first snapshot in force.
    pub fn new(first: Arc<Snapshot>, metrics: Arc<Metrics>) -> Arc<Self> {
        tell_generations(&first);
        tell_endpoints(&first);
        Arc::new(Self {
            swapped: watch::Sender::new(()),
            generation: AtomicU64::new(first.generation),
            version: AtomicU64::new(0),
            overload: Overload::default(),
            current: ArcSwap::new(first),
            metrics,
        })
    }

    /// The configuration's generation in force.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Another one with each snapshot; one load, free of charge on x86-64.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts a snapshot in force.
    pub fn swap(&self, next: Arc<Snapshot>) {
        let generation = next.generation;
        tell_generations(&next);
        tell_endpoints(&next);
        next.clusters.iter().flatten().for_each(|cluster| cluster.bounds.adopt(&cluster.config.limits));
        self.current.store(next);
        self.generation.store(generation, Ordering::Release);
        self.version.fetch_add(1, Ordering::Release);
        self.metrics.process.swaps.one(SHARED);
        self.swapped.send_replace(());
    }
}

fn tell_generations(snapshot: &Snapshot) {
    for plan in &snapshot.filters {
        plan.metrics.generation.set(SHARED, plan.generation);
    }
}

fn tell_endpoints(snapshot: &Snapshot) {
    for cluster in snapshot.clusters.iter().flatten() {
        cluster.metrics.endpoints.set(SHARED, cluster.endpoints.len() as u64);
    }
}

impl Snapshot {
    /// The same with the endpoints as they are told now. None: they are as they were.
    pub fn with_endpoints(&self) -> Option<Self> {
        let renewed = |cluster: &Option<Arc<Cluster>>| cluster.as_ref()?.renewed().map(Arc::new);
        let renewed: Vec<_> = self.clusters.iter().map(renewed).collect();
        if renewed.iter().all(Option::is_none) {
            return None;
        }
        let clusters = renewed.into_iter().zip(&self.clusters).map(|(new, old)| new.or_else(|| old.clone()));
        Some(Self {
            generation: self.generation,
            config: Arc::clone(&self.config),
            listeners: self.listeners.clone(),
            filters: self.filters.clone(),
            identities: self.identities.clone(),
            clusters: clusters.collect(),
            _alive: Alive::new(),
        })
    }
}

/// Counts a snapshot as long as it lives.
#[derive(Debug)]
struct Alive;

/// Snapshots in memory: the one in force, and those that exchanges still finish on.
pub fn snapshots_alive() -> u64 {
    SNAPSHOTS.load(Ordering::Relaxed)
}

static SNAPSHOTS: AtomicU64 = AtomicU64::new(0);

impl Alive {
    fn new() -> Self {
        SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        SNAPSHOTS.fetch_sub(1, Ordering::Relaxed);
    }
}
