//! Warnings about what is configured and never used.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::{
    checked::{
        ClusterId, Config, DataSource, Destinations, Filter, FilterId, Listener, ListenerTls, UpstreamTls,
        WasmSource,
    },
    document::{Document, Place},
    findings::Findings,
};

pub(super) fn warn(config: &Config, document: &Document<'_>, findings: &mut Findings<'_>) {
    let chained: BTreeSet<FilterId> = config.listeners.iter().flat_map(|l| l.chain.iter().copied()).collect();
    let root = Place::Root;
    for (filter, id) in config.filters.iter().zip(0..) {
        if !chained.contains(&FilterId(id)) {
            let at = root.key("filters");
            findings.warn(&at.key(&filter.name), "the filter is in no chain", "add it to a listener's chain");
        }
    }
    warn_of_identities(config, findings);
    let Some(used) = used_clusters(config, document) else { return };
    for (cluster, id) in config.clusters.iter().zip(0..) {
        if !used.contains(&ClusterId(id)) {
            let at = root.key("clusters");
            let help = "name it in a listener, or in the config of a filter";
            findings.warn(&at.key(&cluster.name), "the cluster is never used", help);
        }
    }
}

fn warn_of_identities(config: &Config, findings: &mut Findings<'_>) {
    let callers = config.listeners.iter().filter_map(|listener| match &listener.tls {
        Some(ListenerTls::Identity(tls)) => Some(&*tls.identity),
        _ => None,
    });
    let endpoints = config.clusters.iter().filter_map(|cluster| match &cluster.tls {
        Some(UpstreamTls::Identity(tls)) => Some(&*tls.identity),
        _ => None,
    });
    let used: BTreeSet<&str> = callers.chain(endpoints).collect();
    for identity in config.identities.iter().filter(|identity| !used.contains(&*identity.name)) {
        let root = Place::Root;
        let at = root.key("identities");
        let help = "name it in the tls of a listener or cluster";
        findings.warn(&at.key(&identity.name), "the identity is never used", help);
    }
}

/// None: that cannot be known, as a filter that did not come with Weir may route to every cluster.
fn used_clusters(config: &Config, document: &Document<'_>) -> Option<BTreeSet<ClusterId>> {
    let mut used: BTreeSet<ClusterId> = config.listeners.iter().flat_map(of_listener).collect();
    for filter in &config.filters {
        used.extend(&filter.grants.ask);
        used.extend(filter.data.values().filter_map(|source| match source {
            DataSource::Url { cluster, .. } => Some(*cluster),
            DataSource::File(_) => None,
        }));
        match (&filter.grants.clusters, &filter.wasm) {
            (Some(granted), _) => used.extend(granted),
            (None, WasmSource::Builtin(_)) => used.extend(mentioned(filter, config, document)),
            (None, WasmSource::File(_)) => return None,
        }
    }
    Some(used)
}

fn of_listener(listener: &Listener) -> impl Iterator<Item = ClusterId> {
    let destinations = listener.captured.iter().flat_map(Destinations::clusters);
    listener.cluster.into_iter().chain(listener.sni.values().copied()).chain(destinations)
}

/// Clusters whose names occur in a filter's own config: the filters that come with Weir know no others.
fn mentioned(filter: &Filter, config: &Config, document: &Document<'_>) -> BTreeSet<ClusterId> {
    let ids: HashMap<&str, ClusterId, RandomState> =
        config.clusters.iter().map(|cluster| &*cluster.name).zip((0..).map(ClusterId)).collect();
    let mut found = BTreeSet::new();
    let filters = Place::Root;
    let filters = filters.key("filters");
    if let Some(own) = document.node(&filters.key(&filter.name).key("config")) {
        own.texts(&mut |text| found.extend(ids.get(text)));
    }
    found
}
