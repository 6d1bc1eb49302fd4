//! Slots: numbers for clusters that stay the same when config's order changes.
//!
//! Filters and listeners keep the number of a cluster; what did not change is kept over a reload with the
//! numbers it holds. A cluster therefore keeps its slot for as long as config has it, and a slot that became free
//! stays free: whoever still holds its number - an exchange under way, a filter to fall back to - must find
//! nothing there, never another cluster.

use std::{collections::HashMap, sync::Arc};

use weir_config::checked::{self, ClusterId, Config, DataSource, Destinations};

use crate::chain::FilterPlan;

/// Which cluster is in which slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    by_name: Arc<HashMap<Arc<str>, ClusterId>>,
    /// Free ones included.
    count: usize,
}

impl Slots {
    /// Slots for a new configuration: clusters that stay keep theirs.
    pub(super) fn renewed(&self, config: &Config) -> Self {
        let mut count = self.count;
        let one = |cluster: &checked::Cluster| {
            let slot = self.of(&cluster.name).unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            (Arc::clone(&cluster.name), ClusterId(slot as u32))
        };
        let by_name = config.clusters.iter().map(one).collect();
        Self { by_name: Arc::new(by_name), count }
    }

    /// How many there are, free ones included.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Every cluster's name and slot.
    pub(super) fn by_name(&self) -> &Arc<HashMap<Arc<str>, ClusterId>> {
        &self.by_name
    }

    /// Whether every cluster that a filter named is where the filter knows it.
    pub(super) fn still_hold(&self, plan: &FilterPlan) -> bool {
        plan.clusters.iter().all(|granted| self.by_name.get(&granted.name) == Some(&granted.id))
    }

    /// The slot of a name.
    pub(super) fn of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|id| id.0 as usize)
    }

    /// Rewrites config's positions of clusters to slots.
    pub(super) fn number(&self, config: &mut Config) {
        let by_position: Vec<ClusterId> = config
            .clusters
            .iter()
            .map(|cluster| self.by_name.get(&cluster.name).copied().unwrap_or(ClusterId(0)))
            .collect();
        let renumber = |id: &mut ClusterId| {
            if let Some(slot) = by_position.get(id.0 as usize) {
                *id = *slot;
            }
        };
        for listener in &mut config.listeners {
            let captured = listener.captured.iter_mut().flat_map(Destinations::clusters_mut);
            listener.cluster.iter_mut().chain(listener.sni.values_mut()).chain(captured).for_each(renumber);
        }
        for filter in &mut config.filters {
            filter.grants.clusters.iter_mut().flatten().for_each(renumber);
            filter.grants.ask.iter_mut().for_each(renumber);
            for source in filter.data.values_mut() {
                if let DataSource::Url { cluster, .. } = source {
                    renumber(cluster);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(clusters: &[&str]) -> Config {
        let mut text = String::from("[listeners.web]\naddress = \"127.0.0.1:0\"\n");
        text.push_str(&format!("cluster = {:?}\n", clusters[0]));
        for name in clusters {
            text.push_str(&format!("[clusters.{name}]\nendpoints = [{{ address = \"127.0.0.1:1\" }}]\n"));
        }
        weir_config::parse(&text, std::path::Path::new("."), "test").unwrap()
    }

    #[test]
    fn a_cluster_keeps_its_slot_wherever_config_moves_it() {
        let first = Slots::default().renewed(&config(&["a", "b", "c"]));
        let kept = first.of("c");
        let mut moved = config(&["c", "new"]);
        let second = first.renewed(&moved);
        assert_eq!(second.of("c"), kept);
        assert_eq!(second.of("a"), None);
        assert_eq!(second.of("new"), Some(3), "a free slot is not given away");
        second.number(&mut moved);
        assert_eq!(moved.listeners[0].cluster, Some(ClusterId(kept.unwrap() as u32)));
    }
}
