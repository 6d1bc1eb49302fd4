//! [`Subset`]: the endpoints of a cluster that carry certain labels, by priority, and within one by zone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smallvec::SmallVec;
use weir_balance::{Picker, Random, kept_in_zone};

use super::{Cluster, Endpoint, local::Labels, shared::algorithm};
use crate::telemetry::metrics::Zone;

/// How much of its share a priority may lose before the next one helps out (Envoy's overprovisioning factor), percent.
const OVERPROVISIONED: u64 = 140;

/// See the module.
#[derive(Debug)]
pub(super) struct Subset {
    pub(super) labels: Labels,
    /// The best priority first.
    pub(super) levels: Vec<Level>,
}

/// The endpoints of one priority.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) whole: Part,
    /// Some are in the proxy's own zone, and some are not.
    zones: Option<Box<Zones>>,
}

/// Endpoints to choose among.
#[derive(Debug)]
pub(super) struct Part {
    /// Positions in the cluster.
    pub(super) members: Vec<usize>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) picker: Picker,
}

/// A priority's endpoints by where they are.
#[derive(Debug)]
struct Zones {
    own: Part,
    others: Part,
    number: usize,
    /// The part of the traffic that stays while all are in use.
    kept: f64,
}

impl Subset {
    /// Those of `cluster` that carry all of `labels`. If there are none, and config says so, all.
    pub(super) fn of(cluster: &Cluster, labels: &Labels) -> Self {
        let carries =
            |endpoint: &Endpoint| endpoint.matches(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let any = cluster.config.subset_fallback_to_any && !cluster.endpoints.iter().any(|e| carries(e));
        let mut by_priority: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (position, endpoint) in cluster.endpoints.iter().enumerate() {
            if any || carries(endpoint) {
                by_priority.entry(endpoint.priority).or_default().push(position);
            }
        }
        let level = |members: Vec<usize>| Level {
            zones: Zones::of(cluster, &members).map(Box::new),
            whole: Part::of(cluster, members),
        };
        Self { labels: labels.clone(), levels: by_priority.into_values().map(level).collect() }
    }

    /// Where an attempt goes if all endpoints are in use: to the best priority that was not tried whole.
    pub(super) fn first(&self, tried: &[usize]) -> Option<&Level> {
        self.levels.iter().find(|level| !level.whole.is_tried(tried)).or(self.levels.first())
    }

    /// Where an attempt goes if some are out; `ticket` is a number below 100, by chance. Each priority takes what it
    /// bears, and the next one the rest.
    pub(super) fn at(&self, ticket: u64) -> Option<&Level> {
        let bears: SmallVec<[u64; 4]> = self.levels.iter().map(Level::bears).collect();
        let all: u64 = bears.iter().sum();
        // If all together bear too little, each takes its part of the whole.
        let ticket = if all < 100 { ticket * all / 100 } else { ticket };
        let mut sum = 0;
        let level = self.levels.iter().zip(bears).find(|(_, bears)| {
            sum += bears;
            ticket < sum
        });
        level.map(|(level, _)| level).or(self.levels.first())
    }
}

impl Level {
    /// The endpoints to choose among if all are in use, and where they are if zones count.
    pub(super) fn part(&self, tried: &[usize], dice: &mut impl Random) -> (&Part, Option<Zone>) {
        match &self.zones {
            None => (&self.whole, None),
            Some(zones) => zones.choose(zones.kept, tried, dice),
        }
    }

    /// The same if some are out.
    pub(super) fn part_in_use(&self, tried: &[usize], dice: &mut impl Random) -> (&Part, Option<Zone>) {
        match &self.zones {
            None => (&self.whole, None),
            Some(zones) => zones.choose(zones.kept_in_use(), tried, dice),
        }
    }

    /// How much of the traffic it takes, percent.
    fn bears(&self) -> u64 {
        (self.whole.in_use() as u64 * OVERPROVISIONED / (self.whole.endpoints.len() as u64).max(1)).min(100)
    }
}

impl Part {
    fn of(cluster: &Cluster, members: Vec<usize>) -> Self {
        let endpoints: Vec<_> = members.iter().map(|&i| Arc::clone(&cluster.endpoints[i])).collect();
        let picker = Picker::new(algorithm(&cluster.config.balancer), &endpoints);
        Self { members, endpoints, picker }
    }

    /// The places within this part of the cluster's endpoints `indices`.
    pub(super) fn positions_of(&self, indices: &[usize]) -> SmallVec<[usize; 4]> {
        indices.iter().filter_map(|index| self.members.iter().position(|member| member == index)).collect()
    }

    /// How many endpoints are in use.
    pub(super) fn in_use(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| !endpoint.standing.is_out()).count()
    }

    fn is_tried(&self, tried: &[usize]) -> bool {
        self.members.iter().all(|member| tried.contains(member))
    }

    fn weighs(&self, counts: impl Fn(&Endpoint) -> bool) -> u64 {
        self.endpoints.iter().filter(|e| counts(e)).map(|endpoint| u64::from(endpoint.weight)).sum()
    }
}

impl Zones {
    /// None: all of these endpoints are in the proxy's own zone, or none is, or nobody prefers it.
    fn of(cluster: &Cluster, members: &[usize]) -> Option<Self> {
        let own_zone = cluster.config.own_zone.as_deref()?;
        let zone = |&position: &usize| cluster.endpoints[position].zone();
        let (own, others): (Vec<_>, Vec<_>) =
            members.iter().copied().partition(|at| zone(at) == Some(own_zone));
        if own.is_empty() || others.is_empty() {
            return None;
        }
        let number = members.iter().map(zone).collect::<BTreeSet<_>>().len();
        let (own, others) = (Part::of(cluster, own), Part::of(cluster, others));
        let near = own.weighs(|_| true);
        let kept = kept_in_zone(near, near + others.weighs(|_| true), number);
        Some(Self { own, others, number, kept })
    }

    fn kept_in_use(&self) -> f64 {
        let in_use = |endpoint: &Endpoint| !endpoint.standing.is_out();
        let own = self.own.weighs(in_use);
        kept_in_zone(own, own + self.others.weighs(in_use), self.number)
    }

    /// By chance, but for what was tried whole.
    fn choose(&self, kept: f64, tried: &[usize], dice: &mut impl Random) -> (&Part, Option<Zone>) {
        let (own, others) = ((&self.own, Some(Zone::Own)), (&self.others, Some(Zone::Other)));
        let stays = kept >= 1.0 || dice.unit() < kept;
        let (wanted, instead) = if stays { (own, others) } else { (others, own) };
        if wanted.0.is_tried(tried) && !instead.0.is_tried(tried) { instead } else { wanted }
    }
}
