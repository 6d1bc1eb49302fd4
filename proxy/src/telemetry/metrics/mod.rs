//! Metrics: what is counted, and the text that a scrape gets.
//!
//! Counting must cost nothing, so each worker writes to cells of its own ([`cells`]) and a scrape adds them
//! up. A scrape must not grow with what callers send, so labels come only from names in the configuration
//! and from fixed lists ([`labels`]); the one exception, route names that filters choose while they run, is
//! a bounded table ([`routes`]). A thing that stays in the configuration keeps its numbers over a reload:
//! the snapshot asks for its listeners, clusters and filters by name and gets the same cells again. A thing
//! that left the configuration leaves the scrape when its last snapshot is gone.

mod cells;
mod custom;
mod families;
mod instruments;
mod labels;
mod local_reply;
mod process;
mod reference;
mod render;
mod routes;
#[cfg(test)]
mod tests;

pub use cells::SHARED;
pub use custom::Custom;
pub use families::{
    ClusterMetrics, FilterMetrics, IdentityMetrics, ListenerMetrics, ProcessMetrics, RouteMetrics,
};
pub use instruments::{Counter, Counters, Family, Gauge, Histogram, Kind, Seconds};
pub use labels::{
    Attempted, Checked, CodeClass, ConnectFailure, DataRead, Denied, Discovered, Ejected, FilterFault,
    Handshake, Hedged, Hook, Label, LimitHit, PeerRefusal, Refusal, Reload, Remembered, Retried, TcpEnd,
    Zone,
};
pub use local_reply::LocalReply;
pub use reference::reference;
pub use render::CONTENT_TYPE;
pub use routes::{OTHER_ROUTE, RouteCache};

use cells::Cells;
use families::Scope;
use routes::Routes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Distinct route names that are counted apart; further ones are counted as [`OTHER_ROUTE`].
pub const ROUTES: usize = 1_024;

/// All numbers of a process.
pub struct Metrics {
    workers: usize,
    /// What is not about one configured thing.
    pub process: ProcessMetrics,
    process_cells: Arc<Cells>,
    listeners: Table<ListenerMetrics>,
    clusters: Table<ClusterMetrics>,
    filters: Table<FilterMetrics>,
    identities: Table<IdentityMetrics>,
    routes: Routes,
    started_unix_ms: u64,
}

impl Metrics {
    /// Numbers for a process with this many workers, all zero.
    pub fn new(workers: usize) -> Arc<Self> {
        let process_cells = Cells::new(workers, ProcessMetrics::WIDTH);
        let metrics = Metrics {
            workers,
            process: ProcessMetrics::over(&process_cells),
            process_cells,
            listeners: Table::default(),
            clusters: Table::default(),
            filters: Table::default(),
            identities: Table::default(),
            routes: Routes::new(workers, ROUTES),
            started_unix_ms: crate::clock::unix_ms(),
        };
        metrics.process.build_info.set(SHARED, 1);
        Arc::new(metrics)
    }

    /// The numbers of a listener: those it had, if something still holds them.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.listeners.get(name, self.workers)
    }

    /// The numbers of a cluster.
    pub fn cluster(&self, name: &str) -> Arc<ClusterMetrics> {
        self.clusters.get(name, self.workers)
    }

    /// The numbers of a filter.
    pub fn filter(&self, name: &str) -> Arc<FilterMetrics> {
        self.filters.get(name, self.workers)
    }

    /// The numbers of an identity.
    pub fn identity(&self, name: &str) -> Arc<IdentityMetrics> {
        self.identities.get(name, self.workers)
    }

    /// A worker's own way to the numbers of routes.
    pub fn route_cache(self: &Arc<Self>) -> RouteCache {
        RouteCache::new(self.clone())
    }
}

/// The labelled things of one scope that something still counts for.
struct Table<S> {
    by_name: Mutex<BTreeMap<Arc<str>, Weak<S>>>,
}

impl<S: Scope> Table<S> {
    fn get(&self, name: &str, workers: usize) -> Arc<S> {
        let mut by_name = self.lock();
        if let Some(known) = by_name.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let made = Arc::new(S::over(&Cells::new(workers, S::WIDTH)));
        by_name.insert(name.into(), Arc::downgrade(&made));
        made
    }

    /// Everything alive, by name. What nobody holds any more is forgotten.
    fn alive(&self) -> Vec<(Arc<str>, Arc<S>)> {
        let mut alive = Vec::new();
        self.lock().retain(|name, thing| match thing.upgrade() {
            Some(thing) => {
                alive.push((name.clone(), thing));
                true
            }
            None => false,
        });
        alive
    }

    /// A thread that panicked while it held the table left it whole: every change is one insertion.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Weak<S>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Table { by_name: Mutex::default() }
    }
}
