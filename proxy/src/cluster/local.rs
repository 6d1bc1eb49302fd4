//! [`LocalCluster`]: one worker's side of a cluster.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use compact_str::CompactString;
use smallvec::SmallVec;
use weir_balance::{Ask, Random};

use super::{Bounds, Cluster, Endpoint, choice::Choice, pool::EndpointPool, subset::Subset, toward::Kin};
use crate::{
    telemetry::metrics::Zone,
    worker::{Dice, Worker},
};

/// Labels that an endpoint must carry, sorted by name.
pub type Labels = SmallVec<[(CompactString, CompactString); 2]>;

/// How many subsets a worker remembers per cluster. Filters choose labels, so there is a bound.
const SUBSETS: usize = 64;

/// A cluster as one worker uses it.
#[derive(Debug)]
pub struct LocalCluster {
    /// What all workers share.
    pub shared: Arc<Cluster>,
    /// Those of `shared`, one step nearer.
    pub bounds: Arc<Bounds>,
    /// By position of the endpoint. An endpoint that stays keeps its pool from one cluster to the next.
    pools: Vec<Rc<EndpointPool>>,
    pub(super) kin: Kin,
    subsets: RefCell<Vec<Rc<Subset>>>,
}

/// An endpoint that was chosen.
#[derive(Debug, Clone, Copy)]
pub struct Picked<'a> {
    /// Position in the cluster.
    pub index: usize,
    /// The endpoint.
    pub endpoint: &'a Arc<Endpoint>,
    /// This attempt is to tell whether the endpoint comes back.
    pub probe: bool,
}

impl LocalCluster {
    /// This worker's side of `shared`, with the connections of `before` to endpoints that are there still.
    pub fn new(shared: Arc<Cluster>, before: Option<&LocalCluster>) -> Self {
        let kin = Kin::of(&shared);
        Self::with_kin(shared, before, kin)
    }

    pub(super) fn with_kin(shared: Arc<Cluster>, before: Option<&LocalCluster>, kin: Kin) -> Self {
        let before = before.filter(|before| shared.connects_like(&before.shared));
        let mut known: HashMap<_, _> = before
            .into_iter()
            .flat_map(|before| before.shared.endpoints.iter().zip(&before.pools))
            .map(|(endpoint, pool)| ((&endpoint.target, &endpoint.address), pool))
            .collect();
        let mut pools = Vec::with_capacity(shared.endpoints.len());
        for endpoint in &shared.endpoints {
            // Taken out, since config may list an address twice.
            pools.push(known.remove(&(&endpoint.target, &endpoint.address)).cloned().unwrap_or_default());
        }
        let bounds = Arc::clone(&shared.bounds);
        Self { shared, bounds, pools, kin, subsets: RefCell::default() }
    }

    /// Another cluster is in force in its place, or none: connections that did not go over to it are closed as
    /// soon as nobody uses them, however long the last exchange takes that began here.
    pub fn left_for(&self, next: Option<&LocalCluster>) {
        let kept: HashSet<_> = next.into_iter().flat_map(|next| next.pools.iter().map(Rc::as_ptr)).collect();
        self.pools.iter().filter(|pool| !kept.contains(&Rc::as_ptr(pool))).for_each(|pool| pool.retire());
        self.kin.retire();
    }

    /// Chooses an endpoint, if there is one that carries `labels`. `tried` are positions not to choose
    /// again unless there is no other. The time is the worker's most recent one.
    pub fn pick(
        &self,
        worker: &Worker,
        labels: &Labels,
        hash: Option<u64>,
        tried: &[usize],
    ) -> Option<Picked<'_>> {
        let cluster = &*self.shared;
        if !cluster.all_in() {
            return self.pick_with_care(worker, labels, hash, tried);
        }
        let now = worker.recent();
        let mut dice = Dice(worker);
        let index = if labels.is_empty() && !cluster.in_parts {
            cluster.picker.pick(&cluster.endpoints, now, &mut dice, &Ask { hash, avoid: tried })?
        } else {
            let subset = self.subset(labels);
            let (part, zone) = subset.first(tried)?.part(tried, &mut dice);
            let ask = Ask { hash, avoid: &part.positions_of(tried) };
            let index = part.members[part.picker.pick(&part.endpoints, now, &mut dice, &ask)?];
            self.count_zone(worker, zone);
            index
        };
        Some(Picked { index, endpoint: &cluster.endpoints[index], probe: false })
    }

    /// As [`pick`](Self::pick), where some endpoints are out, or are eased in.
    #[cold]
    fn pick_with_care(
        &self,
        worker: &Worker,
        labels: &Labels,
        hash: Option<u64>,
        tried: &[usize],
    ) -> Option<Picked<'_>> {
        let cluster = &*self.shared;
        let picked = |index: usize, probe| Picked { index, endpoint: &cluster.endpoints[index], probe };
        if labels.is_empty() && !cluster.in_parts {
            let endpoints = &cluster.endpoints;
            if let Some(index) = cluster.to_probe(endpoints, tried, worker) {
                return Some(picked(index, true));
            }
            let panics = cluster.panics(worker, cluster.in_use(), endpoints.len());
            let whole = Choice { cluster, picker: &cluster.picker, endpoints, tried, panics };
            return whole.pick(worker, hash).map(|index| picked(index, false));
        }
        let subset = self.subset(labels);
        // No traffic goes to a priority that is out: nobody else would find out that it is well.
        let probe = subset.levels.iter().find_map(|level| {
            let whole = &level.whole;
            let at = cluster.to_probe(&whole.endpoints, &whole.positions_of(tried), worker)?;
            Some(picked(whole.members[at], true))
        });
        if probe.is_some() {
            return probe;
        }
        let level = subset.at(Dice(worker).below(100))?;
        let panics = cluster.panics(worker, level.whole.in_use(), level.whole.endpoints.len());
        let (part, zone) = match panics {
            true => (&level.whole, None),
            false => level.part_in_use(tried, &mut Dice(worker)),
        };
        let tried = &part.positions_of(tried);
        let choice = Choice { cluster, picker: &part.picker, endpoints: &part.endpoints, tried, panics };
        let at = choice.pick(worker, hash)?;
        self.count_zone(worker, zone);
        Some(picked(part.members[at], false))
    }

    fn count_zone(&self, worker: &Worker, zone: Option<Zone>) {
        if let Some(zone) = zone {
            self.shared.metrics.zone_picks.one(worker.index, zone);
        }
    }

    /// The connections to the endpoint at `index`.
    pub(super) fn pool(&self, index: usize) -> &EndpointPool {
        &self.pools[index]
    }

    /// Of all endpoints, in the cluster's order.
    pub(super) fn pools(&self) -> &[Rc<EndpointPool>] {
        &self.pools
    }

    fn subset(&self, labels: &Labels) -> Rc<Subset> {
        let mut subsets = self.subsets.borrow_mut();
        if let Some(known) = subsets.iter().find(|s| s.labels == *labels) {
            return Rc::clone(known);
        }
        let subset = Rc::new(Subset::of(&self.shared, labels));
        if subsets.len() == SUBSETS {
            subsets.remove(0);
        }
        subsets.push(Rc::clone(&subset));
        subset
    }
}
