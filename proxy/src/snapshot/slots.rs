//! Slots: numbers for clusters that stay the same when config's order changes.
//!
//! Filters and listeners keep the number of a cluster; what did not change is kept over a reload with the
//! numbers it holds. A cluster therefore keeps its slot for as long as config has it, and a slot that became free
//! stays free: whoever still holds its number - an exchange under way, a filter to fall back to - must find
//! nothing there, never another cluster.

use std::sync::Arc;

use weir_config::checked::{ClusterId, Config, DataSource};

use crate::chain::FilterPlan;

/// Which cluster is in which slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    names: Vec<Option<Arc<str>>>,
}

impl Slots {
    /// Slots for a new configuration: clusters that stay keep theirs.
    pub(super) fn renewed(&self, config: &Config) -> Self {
        let stays = |name: &Arc<str>| config.clusters.iter().any(|cluster| cluster.name == *name);
        let mut names: Vec<_> = self.names.iter().map(|name| name.clone().filter(stays)).collect();
        for cluster in &config.clusters {
            if !names.iter().flatten().any(|name| *name == cluster.name) {
                names.push(Some(Arc::clone(&cluster.name)));
            }
        }
        Self { names }
    }

    /// How many there are, free ones included.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Every cluster's slot and name.
    pub(super) fn all(&self) -> Vec<(ClusterId, Arc<str>)> {
        let named = self.names.iter().enumerate();
        named.filter_map(|(slot, name)| Some((ClusterId(slot as u32), name.clone()?))).collect()
    }

    /// Whether every cluster that a filter named is where the filter knows it.
    pub(super) fn still_hold(&self, plan: &FilterPlan) -> bool {
        plan.clusters.iter().all(|granted| self.of(&granted.name) == Some(granted.id.0 as usize))
    }

    /// The slot of a name.
    pub(super) fn of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known.as_deref() == Some(name))
    }

    /// Rewrites config's positions of clusters to slots.
    pub(super) fn number(&self, config: &mut Config) {
        let by_position: Vec<ClusterId> = config
            .clusters
            .iter()
            .map(|cluster| ClusterId(self.of(&cluster.name).unwrap_or_default() as u32))
            .collect();
        let renumber = |id: &mut ClusterId| {
            if let Some(slot) = by_position.get(id.0 as usize) {
                *id = *slot;
            }
        };
        config.listeners.iter_mut().filter_map(|listener| listener.cluster.as_mut()).for_each(renumber);
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
