//! One worker's side of the snapshot: its pools, its filter instances, taken over from generation to
//! generation wherever nothing changed.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use weir_config::checked::{ClusterId, FilterId};

use super::{ListenerPlan, Shared, Snapshot};
use crate::{
    chain::LocalFilter,
    cluster::{Cluster, LocalCluster},
    http::h1::DateCache,
    message::{Home, Request, ResponseHead},
    telemetry::{access_log::WorkerLog, metrics::RouteCache},
    worker::Worker,
};

/// A snapshot as one worker uses it.
#[derive(Debug)]
pub struct LocalSnapshot {
    /// What all workers share.
    pub shared: Arc<Snapshot>,
    listeners: Vec<Rc<LocalListener>>,
    /// By slot: see [`Builder`](super::Builder).
    clusters: Vec<Option<Rc<LocalCluster>>>,
    filters: Vec<Rc<LocalFilter>>,
}

/// A listener as one worker uses it.
#[derive(Debug)]
pub struct LocalListener {
    /// What all workers share.
    pub plan: Arc<ListenerPlan>,
    /// Where its exchanges go if no filter says otherwise.
    pub home: Option<Home>,
    /// Shared by all generations of this listener, so that a connection that idles on an old one does not
    /// keep old filters alive.
    chain: Rc<RefCell<Chain>>,
}

/// The filters that decide, in order.
pub type Chain = Rc<[Rc<LocalFilter>]>;

impl LocalListener {
    /// The filters that decide now.
    pub fn chain(&self) -> Chain {
        Rc::clone(&self.chain.borrow())
    }
}

/// Heads that exchanges take turns with, so that a warm worker allocates none.
#[derive(Debug, Default)]
pub struct Heads {
    /// The request.
    pub request: Request,
    /// The response.
    pub response: ResponseHead,
}

/// Everything one worker has.
pub struct LocalState {
    /// Clock, randomness, buffers.
    pub worker: Worker,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Where exchanges are written down.
    pub access_log: Option<RefCell<WorkerLog>>,
    /// Numbers of routes.
    pub routes: RefCell<RouteCache>,
    /// The `date` field.
    pub date: RefCell<DateCache>,
    current: RefCell<Rc<LocalSnapshot>>,
    version: Cell<u64>,
    #[expect(clippy::vec_box, reason = "lent out by moving the box, not its large content")]
    heads: RefCell<Vec<Box<Heads>>>,
}

impl std::fmt::Debug for LocalState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalState").field("worker", &self.worker.index).finish_non_exhaustive()
    }
}

/// Heads kept for later exchanges.
const HEADS: usize = 128;
/// Memory a kept head may hold.
const HEAD_BYTES: usize = 16 * 1024;

impl LocalState {
    /// A worker that begins with the snapshot in force.
    pub fn new(worker: Worker, shared: Arc<Shared>, access_log: Option<WorkerLog>) -> Self {
        let version = shared.version();
        let snapshot = shared.snapshot();
        Self {
            version: Cell::new(version),
            current: RefCell::new(Rc::new(LocalSnapshot::new(snapshot, None, &worker))),
            routes: RefCell::new(shared.metrics.route_cache()),
            date: RefCell::new(DateCache::new()),
            heads: RefCell::default(),
            worker,
            shared,
            access_log: access_log.map(RefCell::new),
        }
    }

    /// The snapshot in force, as this worker uses it. Costs one load when nothing changed.
    pub fn snapshot(&self) -> Rc<LocalSnapshot> {
        if self.shared.version() != self.version.get() {
            self.advance();
        }
        Rc::clone(&self.current.borrow())
    }

    /// The clusters of a snapshot that is not yet in force.
    pub fn ahead(&self, next: Arc<Snapshot>) -> Rc<LocalSnapshot> {
        Rc::new(LocalSnapshot::clusters_of(next, &self.snapshot()))
    }

    /// Takes in the newest snapshot and the newest data of its filters, though no exchange asks for them.
    pub fn refresh(&self) {
        self.snapshot().filters.iter().for_each(|filter| filter.warm(&self.worker));
    }

    #[cold]
    fn advance(&self) {
        // First its version: whatever is swapped in between is looked at once more.
        self.version.set(self.shared.version());
        let next = self.shared.snapshot();
        let local = LocalSnapshot::new(next, Some(&self.current.borrow()), &self.worker);
        let before = self.current.replace(Rc::new(local));
        before.left_for(&self.current.borrow());
    }

    /// Heads to fill.
    pub fn take_heads(&self) -> Box<Heads> {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes heads back.
    pub fn give_heads(&self, mut heads: Box<Heads>) {
        let mut kept = self.heads.borrow_mut();
        if kept.len() < HEADS {
            heads.request.clear();
            heads.request.head.release(HEAD_BYTES);
            heads.response.fields.release(HEAD_BYTES);
            heads.response.clear();
            kept.push(heads);
        }
    }

    /// Work that comes around every second: connections that idled too long go.
    pub fn tend(&self) {
        let snapshot = self.snapshot();
        snapshot.clusters.iter().flatten().for_each(|cluster| cluster.tend(&self.worker));
    }
}

impl LocalState {
    /// Closes connections to endpoints that are not in use now.
    pub fn shed(&self) {
        let snapshot = self.snapshot();
        snapshot.clusters.iter().flatten().for_each(|cluster| cluster.close_unused(&self.worker));
    }
}

impl LocalSnapshot {
    /// This worker's side of `shared`; what did not change is taken over from `before`.
    fn new(shared: Arc<Snapshot>, before: Option<&LocalSnapshot>, worker: &Worker) -> Self {
        let clusters = local_clusters(&shared, before);
        let old_filters = before.map_or(&[][..], |b| &b.filters);
        let filters: Vec<_> = shared
            .filters
            .iter()
            .map(|plan| {
                let kept = old_filters.iter().find(|old| Arc::ptr_eq(&old.plan, plan));
                kept.cloned().unwrap_or_else(|| {
                    let filter = LocalFilter::new(Arc::clone(plan));
                    filter.warm(worker);
                    Rc::new(filter)
                })
            })
            .collect();
        let listeners = shared
            .listeners
            .iter()
            .map(|plan| {
                let chain: Chain =
                    plan.config.chain.iter().map(|id| Rc::clone(&filters[id.0 as usize])).collect();
                let known =
                    before.and_then(|b| b.listener(&plan.config.name)).map(|old| Rc::clone(&old.chain));
                let known = known.unwrap_or_else(|| Rc::new(RefCell::new(Rc::clone(&chain))));
                known.replace(chain);
                let home = plan.config.cluster.and_then(|slot| named(&clusters, slot));
                Rc::new(LocalListener { plan: Arc::clone(plan), home, chain: known })
            })
            .collect();
        Self { shared, listeners, clusters, filters }
    }

    /// Another one is in force: closes connections that did not go over to it.
    fn left_for(&self, next: &LocalSnapshot) {
        for (slot, cluster) in self.clusters.iter().enumerate() {
            let Some(cluster) = cluster else { continue };
            let successor = next.clusters.get(slot).and_then(Option::as_ref);
            if successor.is_none_or(|successor| !Rc::ptr_eq(successor, cluster)) {
                cluster.left_for(successor.map(|successor| &**successor));
            }
        }
    }

    /// A snapshot's clusters alone: to fetch what it needs before it comes into force.
    fn clusters_of(shared: Arc<Snapshot>, before: &LocalSnapshot) -> Self {
        let clusters = local_clusters(&shared, Some(before));
        Self { shared, listeners: Vec::new(), clusters, filters: Vec::new() }
    }

    /// The listener of this name, if this configuration has it.
    pub fn listener(&self, name: &str) -> Option<&Rc<LocalListener>> {
        self.listeners.iter().find(|listener| *listener.plan.config.name == *name)
    }

    /// The cluster in a slot.
    pub fn cluster(&self, slot: ClusterId) -> Option<&Rc<LocalCluster>> {
        self.clusters.get(slot.0 as usize)?.as_ref()
    }

    /// The cluster in a slot, as somebody's home.
    pub fn home(&self, slot: ClusterId) -> Option<Home> {
        named(&self.clusters, slot)
    }

    /// The filter at a position.
    pub fn filter(&self, id: FilterId) -> &Rc<LocalFilter> {
        &self.filters[id.0 as usize]
    }
}

fn named(clusters: &[Option<Rc<LocalCluster>>], slot: ClusterId) -> Option<Home> {
    let cluster = clusters.get(slot.0 as usize)?.as_ref()?;
    Some((slot, Arc::clone(cluster.shared.name())))
}

fn local_clusters(shared: &Snapshot, before: Option<&LocalSnapshot>) -> Vec<Option<Rc<LocalCluster>>> {
    let old = before.map_or(&[][..], |b| &b.clusters);
    let one = |(slot, cluster): (usize, &Option<Arc<Cluster>>)| {
        let cluster = cluster.as_ref()?;
        let before = old.get(slot).and_then(Option::as_ref);
        let kept = before.filter(|old| Arc::ptr_eq(&old.shared, cluster)).cloned();
        let new = || Rc::new(LocalCluster::new(Arc::clone(cluster), before.map(|before| &**before)));
        Some(kept.unwrap_or_else(new))
    };
    shared.clusters.iter().enumerate().map(one).collect()
}
