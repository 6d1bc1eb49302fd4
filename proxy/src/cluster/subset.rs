//! [`Subset`]: the endpoints of a cluster that carry certain labels, by priority.

use std::{collections::BTreeMap, sync::Arc};

use weir_balance::Picker;

use super::{Cluster, Endpoint, local::Labels, shared::algorithm};

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
    /// Positions in the cluster.
    pub(super) members: Vec<usize>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) picker: Picker,
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
        let level = |members: Vec<usize>| {
            let endpoints: Vec<_> = members.iter().map(|&i| Arc::clone(&cluster.endpoints[i])).collect();
            let picker = Picker::new(algorithm(&cluster.config.balancer), &endpoints);
            Level { members, endpoints, picker }
        };
        Self { labels: labels.clone(), levels: by_priority.into_values().map(level).collect() }
    }

    /// Where an attempt goes if all endpoints are in use: to the best priority that was not tried whole.
    pub(super) fn first(&self, tried: &[usize]) -> Option<&Level> {
        let untried = |level: &&Level| level.members.iter().any(|member| !tried.contains(member));
        self.levels.iter().find(untried).or(self.levels.first())
    }

    /// Where an attempt goes if some are out; `ticket` is a number below 100, by chance. Each priority takes what it
    /// bears, and the next one the rest.
    pub(super) fn at(&self, ticket: u64) -> Option<&Level> {
        let bears: Vec<u64> = self.levels.iter().map(Level::bears).collect();
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
    /// The places within this level of the cluster's endpoints `indices`.
    pub(super) fn positions_of<'a>(&'a self, indices: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        indices.iter().filter_map(|index| self.members.iter().position(|member| member == index))
    }

    /// How much of the traffic it takes, percent.
    fn bears(&self) -> u64 {
        let well = self.endpoints.iter().filter(|endpoint| !endpoint.standing.is_out()).count() as u64;
        (well * OVERPROVISIONED / (self.endpoints.len() as u64).max(1)).min(100)
    }
}
