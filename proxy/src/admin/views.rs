//! What is shown of a running proxy.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use serde_json::{Value, json};
use weir_balance::Health;
use weir_config::checked::{self, IdentitySource, ToDestination};
use weir_runtime::Lane;

use crate::{
    app::App,
    clock::Nanos,
    cluster::{Cluster, Endpoint, label},
    identity::{Identity, svid::unix_now},
    resident,
    snapshot::snapshots_alive,
    telemetry::metrics::{Custom, FilterFault, Hook, Label, Remembered, SHARED},
};

pub(super) fn listeners(app: &App) -> Value {
    let snapshot = app.shared.snapshot();
    let one = |(name, address): &(_, _)| {
        let plan = snapshot.listeners.iter().find(|plan| plan.config.name == *name);
        let open = plan.map(|plan| plan.metrics.connections_active.sum());
        let protocol = plan.map(|plan| plan.config.protocol.name());
        let captured = plan.is_some_and(|plan| plan.config.captured.is_some());
        json!({
            "name": &**name,
            "address": address,
            "protocol": protocol,
            "captured": captured,
            "connections": open,
        })
    };
    app.listeners().iter().map(one).collect()
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
                    "priority": endpoint.priority,
                    "zone": endpoint.zone(),
                    "labels": endpoint.labels.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect::<serde_json::Map<_, _>>(),
                    "health": health(endpoint, now),
                    "slow_start": cluster.part_of(endpoint, now),
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
            "own_zone": cluster.config.own_zone.as_deref(),
            "requests": cluster.bounds.requests.current(),
            "pending": cluster.bounds.pending.current(),
            "connections": cluster.bounds.connections.current(),
            "endpoints": endpoints,
            "destination": cluster.config.endpoints.to_destination().map(ToDestination::name),
            "discovery": cluster.followed.as_ref().map(|(following, version)| json!({
                "version": version,
                "failing": following.failing(),
            })),
        })
    };
    snapshot.clusters.iter().flatten().map(one).collect()
}

/// Whether an endpoint is used, and if not, why and for how long.
fn health(endpoint: &Endpoint, now: Nanos) -> Value {
    let ejections = endpoint.standing.ejections();
    match endpoint.standing.health(now) {
        Health::In => json!({ "state": "in", "ejections": ejections }),
        Health::Unhealthy => json!({
            "state": "unhealthy",
            "why": &**endpoint.finding.lock().unwrap_or_else(PoisonError::into_inner),
            "ejections": ejections,
        }),
        Health::Ejected(reason, left) => json!({
            "state": "ejected",
            "why": label(reason).1,
            "left_ms": u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            "ejections": ejections,
        }),
    }
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
                "lane": match plan.artifact().inspection.lane {
                    Lane::Direct => "direct",
                    Lane::Component(_) => "component",
                },
                "hooks": plan.hooks.names().collect::<Vec<_>>(),
                "calls": by_label(|hook: Hook| plan.metrics.calls.sum(hook)),
                "nanoseconds": plan.metrics.time.sum_ns(),
                "remembered": by_label(|result: Remembered| plan.metrics.remembered.sum(result)),
                "faults": by_label(|kind: FilterFault| plan.metrics.faults.sum(kind)),
                "last_fault": plan.last_fault().map(|last| json!({
                    "unix_ms": last.unix_ms,
                    "kind": last.fault.kind(),
                    "text": last.fault.to_string(),
                })),
                "instances": plan.metrics.instances.sum(),
                "memory_bytes": plan.metrics.memory.sum(),
                "data": plan.data.since(0).iter().map(|entry| json!({
                    "name": &*entry.name,
                    "bytes": entry.content.len(),
                    "version": entry.version,
                })).collect::<Vec<_>>(),
            })
        })
        .collect()
}

/// Nothing of a key.
pub(super) fn identities(app: &App) -> Value {
    let snapshot = app.shared.snapshot();
    let one = |(spec, identity): (&checked::Identity, &Arc<Identity>)| {
        let svid = identity.current();
        json!({
            "name": &**identity.name(),
            "source": match &spec.source {
                IdentitySource::Files { certificate, .. } => certificate.cert.display().to_string(),
                IdentitySource::WorkloadApi(socket) => format!("unix:{}", socket.display()),
            },
            "id": svid.as_ref().map(|svid| svid.id().as_str().to_owned()),
            "expires_in_seconds": svid.as_ref().map(|svid| svid.expires_in(unix_now())),
            "trust_domains": svid.as_ref().map(|svid| svid.trust_domains().map(str::to_owned).collect::<Vec<_>>()),
            "svids": identity.renewals(),
            "trouble": identity.trouble(),
        })
    };
    snapshot.config.identities.iter().zip(&snapshot.identities).map(one).collect()
}

pub(super) fn overload(app: &App) -> Value {
    let overload = &app.shared.overload;
    json!({
        "overloaded": overload.is_on(),
        "resident_bytes": resident::memory().map(|(resident, _)| resident),
        "mark_bytes": Some(overload.mark()).filter(|mark| *mark > 0),
        "since_unix_ms": overload.since_unix_ms(),
        "times": app.shared.metrics.process.overloads.sum(),
    })
}

/// Numbers by the values of their label; those that are not 0.
fn by_label<L: Label>(sum: impl Fn(L) -> u64) -> Value {
    let counted = L::ALL.iter().zip(L::VALUES).map(|(label, name)| (*name, sum(*label)));
    counted.filter(|(_, sum)| *sum > 0).map(|(name, sum)| (name.to_owned(), json!(sum))).collect()
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
