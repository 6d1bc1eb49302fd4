//! What differs between two configurations, by name: what a reload has to do, and what it tells.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::checked::{ClusterId, Config, DataSource, Destinations, Filter, FilterId, Listener};

/// What a second configuration changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// By name.
    pub listeners: Delta,
    /// By name. The code or data behind an unchanged path may have changed all the same.
    pub filters: Delta,
    /// By name.
    pub clusters: Delta,
    /// By name.
    pub limits: Delta,
    /// By name.
    pub retry_policies: Delta,
    /// By name. The files behind unchanged paths may have changed all the same.
    pub identities: Delta,
    /// Sections about the process itself that changed: `admin`, `workers`, `cache`, `dns`, `restart`, `drain`,
    /// `overload`, `telemetry`, `access_log`.
    pub process: Vec<&'static str>,
}

/// Names that were added, removed or changed, each list in the order of the file it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Delta {
    /// Only in the new configuration.
    pub added: Vec<Arc<str>>,
    /// Only in the old one.
    pub removed: Vec<Arc<str>>,
    /// In both, not alike.
    pub changed: Vec<Arc<str>>,
}

/// Compares by meaning: neither the order of sections nor the way a value is written counts. What only moved to
/// another position is no change.
pub fn differences(old: &Config, new: &Config) -> Changes {
    let numbering = Numbering::from(new, old);
    let process = [
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
        ("cache", old.cache != new.cache),
        ("dns", old.dns != new.dns),
        ("restart", old.restart != new.restart),
        ("drain", old.drain != new.drain),
        ("overload", old.memory != new.memory),
        ("telemetry", old.log != new.log),
        ("access_log", old.access_log != new.access_log),
    ];
    Changes {
        listeners: delta(&old.listeners, &new.listeners, |l| &l.name, |a, b| *a == numbering.listener(b)),
        filters: delta(&old.filters, &new.filters, |f| &f.name, |a, b| *a == numbering.filter(b)),
        clusters: delta(&old.clusters, &new.clusters, |c| &c.name, PartialEq::eq),
        limits: delta(&old.limits, &new.limits, |l| &l.name, PartialEq::eq),
        retry_policies: delta(&old.retry_policies, &new.retry_policies, |p| &p.name, PartialEq::eq),
        identities: delta(&old.identities, &new.identities, |i| &i.name, PartialEq::eq),
        process: process.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect(),
    }
}

impl Changes {
    /// Both configurations mean the same.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

fn delta<T>(old: &[T], new: &[T], name: fn(&T) -> &Arc<str>, same: impl Fn(&T, &T) -> bool) -> Delta {
    let before: BTreeMap<&str, &T> = old.iter().map(|item| (&**name(item), item)).collect();
    let after: BTreeMap<&str, &T> = new.iter().map(|item| (&**name(item), item)).collect();
    let mut delta = Delta::default();
    for item in new {
        match before.get(&**name(item)) {
            None => delta.added.push(name(item).clone()),
            Some(was) if !same(was, item) => delta.changed.push(name(item).clone()),
            Some(_) => {}
        }
    }
    delta.removed.extend(old.iter().map(name).filter(|name| !after.contains_key(&***name)).cloned());
    delta
}

/// Positions of one configuration said in those of another; what is not there gets a position that nothing has.
struct Numbering {
    filters: Vec<u32>,
    clusters: Vec<u32>,
}

impl Numbering {
    fn from(new: &Config, old: &Config) -> Numbering {
        fn positions<T>(new: &[T], old: &[T], name: fn(&T) -> &Arc<str>) -> Vec<u32> {
            let known: BTreeMap<&str, u32> = old.iter().map(|item| &**name(item)).zip(0..).collect();
            new.iter().map(|item| known.get(&**name(item)).copied().unwrap_or(u32::MAX)).collect()
        }
        Numbering {
            filters: positions(&new.filters, &old.filters, |f| &f.name),
            clusters: positions(&new.clusters, &old.clusters, |c| &c.name),
        }
    }

    fn cluster(&self, id: ClusterId) -> ClusterId {
        ClusterId(self.clusters.get(id.0 as usize).copied().unwrap_or(u32::MAX))
    }

    fn listener(&self, listener: &Listener) -> Listener {
        let mut captured = listener.captured.clone();
        let ids = captured.iter_mut().flat_map(Destinations::clusters_mut);
        ids.for_each(|id| *id = self.cluster(*id));
        let filter = |id: &FilterId| FilterId(self.filters.get(id.0 as usize).copied().unwrap_or(u32::MAX));
        Listener {
            chain: listener.chain.iter().map(filter).collect(),
            cluster: listener.cluster.map(|id| self.cluster(id)),
            sni: listener.sni.iter().map(|(name, id)| (Arc::clone(name), self.cluster(*id))).collect(),
            captured,
            ..listener.clone()
        }
    }

    fn filter(&self, filter: &Filter) -> Filter {
        let mut filter = filter.clone();
        for source in filter.data.values_mut() {
            if let DataSource::Url { cluster, .. } = source {
                *cluster = self.cluster(*cluster);
            }
        }
        for id in filter.grants.clusters.iter_mut().flatten().chain(&mut filter.grants.ask) {
            *id = self.cluster(*id);
        }
        filter
    }
}
