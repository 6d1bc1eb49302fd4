//! What is shown of a running proxy.

use std::sync::{Arc, atomic::Ordering};

use serde_json::{Value, json};

use crate::{
    app::App,
    cluster::Cluster,
    snapshot::snapshots_alive,
    telemetry::metrics::{Custom, SHARED},
};

pub(super) fn listeners(app: &App) -> Value {
    app.listeners().iter().map(|(name, address)| json!({ "name": &**name, "address": address })).collect()
}

pub(super) fn clusters(app: &App) -> Value {
    let snapshot = app.shared.snapshot();
    let now = app.clock.now();
    let one = |cluster: &Arc<Cluster>| {
        let endpoints: Vec<Value> = cluster
            .endpoints
            .iter()
            .map(|endpoint| {
                json!({
                    "address": &*endpoint.name,
                    "weight": endpoint.weight,
                    "labels": endpoint.labels.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect::<serde_json::Map<_, _>>(),
                    "in_flight": endpoint.load.in_flight(),
                    "ewma_ms": endpoint.load.ewma(now).as_secs_f64() * 1e3,
                    "score": endpoint.load.score(now) / 1e6,
                    "answered": endpoint.answered.load(Ordering::Relaxed),
                    "failed": endpoint.failed.load(Ordering::Relaxed),
                })
            })
            .collect();
        json!({
            "name": &**cluster.name(),
            "requests": cluster.requests.current(),
            "pending": cluster.pending.current(),
            "connections": cluster.connections.current(),
            "endpoints": endpoints,
        })
    };
    snapshot.clusters.iter().flatten().map(one).collect()
}

pub(super) fn filters(app: &App) -> Value {
    let snapshot = app.shared.snapshot();
    snapshot
        .filters
        .iter()
        .map(|plan| {
            json!({
                "name": &**plan.name(),
                "generation": plan.generation,
                "sha256": &*plan.sha256,
                "hooks": plan.hooks.names().collect::<Vec<_>>(),
                "nanoseconds": plan.metrics.time.sum_ns(),
                "memory_bytes": plan.memory_bytes.load(Ordering::Relaxed),
            })
        })
        .collect()
}

pub(super) fn metrics(app: &App) -> String {
    let snapshot = app.shared.snapshot();
    let own: Vec<_> = snapshot.filters.iter().map(|plan| (plan, plan.own_metrics())).collect();
    let custom: Vec<Custom<'_>> = own
        .iter()
        .flat_map(|(plan, metrics)| {
            metrics.iter().map(|metric| Custom {
                filter: plan.name(),
                name: &metric.name,
                help: &metric.help,
                value: metric.value,
            })
        })
        .collect();
    app.shared.metrics.process.snapshots.set(SHARED, snapshots_alive());
    let mut out = String::new();
    app.shared.metrics.render(&custom, &mut out);
    out
}
