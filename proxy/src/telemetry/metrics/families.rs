//! What is counted, and for which kind of thing.
//!
//! The definitions are the one place that names a metric: fields, cells, the scrape's text and
//! `docs/metrics.md` follow from them.

use super::{
    cells::Cells,
    instruments::{Counter, Counters, Family, Gauge, Histogram, Instrument, Seconds},
    labels::{
        Attempted, Checked, CodeClass, ConnectFailure, DataRead, Denied, Discovered, Ejected, FilterFault,
        Handshake, Hedged, Hook, LimitHit, PeerRefusal, Refusal, Reload, Remembered, Retried, TcpEnd, Zone,
    },
    local_reply::LocalReply,
};
use std::sync::Arc;

/// A kind of thing that numbers belong to.
pub(super) trait Scope: Sized {
    /// The label that holds the thing's name, if there is more than one such thing.
    const LABEL: Option<&'static str>;
    /// In the order of the cells.
    const FAMILIES: &'static [Family];
    /// Cells of one such thing.
    const WIDTH: usize = width(Self::FAMILIES);

    /// Lays the instruments over cells.
    fn over(cells: &Arc<Cells>) -> Self;

    /// The cells that the instruments lie over.
    fn cells(&self) -> &Arc<Cells>;
}

const fn width(families: &[Family]) -> usize {
    let (mut at, mut width) = (0, 0);
    while at < families.len() {
        width += families[at].width();
        at += 1;
    }
    width
}

macro_rules! scope {
    ($(#[$about:meta])* $scope:ident labelled $label:expr => {
        $($field:ident: $instrument:ty = $name:literal, $help:literal;)*
    }) => {
        $(#[$about])*
        pub struct $scope {
            $(#[doc = $help] pub $field: $instrument,)*
            cells: Arc<Cells>,
        }

        impl Scope for $scope {
            const LABEL: Option<&'static str> = $label;
            const FAMILIES: &'static [Family] = &[$(Family {
                name: $name,
                help: $help,
                kind: <$instrument as Instrument>::KIND,
                label: <$instrument as Instrument>::LABEL,
            },)*];

            fn over(cells: &Arc<Cells>) -> Self {
                let mut widths = Self::FAMILIES.iter().map(Family::width);
                let mut next = 0;
                let mut first = || {
                    let first = next;
                    next += widths.next().unwrap_or(0);
                    first
                };
                Self { $($field: <$instrument>::over(cells, first()),)* cells: cells.clone() }
            }

            fn cells(&self) -> &Arc<Cells> {
                &self.cells
            }
        }
    };
}

scope! {
    /// What a listener counts.
    ListenerMetrics labelled Some("listener") => {
        connections: Counter = "weir_connections_total", "Connections accepted.";
        connections_active: Gauge = "weir_connections_active", "Connections open.";
        refused: Counters<Refusal> = "weir_connections_refused_total",
            "Connections closed before they were served.";
        handshakes: Counters<Handshake> = "weir_tls_handshakes_total", "TLS handshakes with callers.";
        tls_refusals: Counters<PeerRefusal> = "weir_tls_refusals_total",
            "Callers refused in the TLS handshake, by what was wrong with them.";
        requests: Counters<CodeClass> = "weir_requests_total", "Exchanges ended.";
        requests_active: Gauge = "weir_requests_active", "Exchanges under way.";
        received_bytes: Counter = "weir_received_bytes_total", "Bytes of request bodies received; of tunnels and TCP connections, all of them.";
        sent_bytes: Counter = "weir_sent_bytes_total", "Bytes of response bodies sent; of tunnels and TCP connections, all of them.";
        duration: Histogram = "weir_request_duration_seconds",
            "From a request's head to the end of its response.";
        tcp_connections: Counters<TcpEnd> = "weir_tcp_connections_total",
            "Connections passed on without being understood (TCP, TLS by name), ended.";
        tcp_duration: Histogram = "weir_tcp_duration_seconds", "From the begin of such a connection to its end.";
    }
}

scope! {
    /// What a route counts. Filters name routes; the number of distinct names is bounded.
    RouteMetrics labelled Some("route") => {
        requests: Counters<CodeClass> = "weir_route_requests_total",
            "Exchanges ended, by the route that a filter named.";
    }
}

scope! {
    /// What a cluster counts.
    ClusterMetrics labelled Some("cluster") => {
        requests: Counters<CodeClass> = "weir_cluster_requests_total", "Exchanges that went to the cluster, ended.";
        requests_active: Gauge = "weir_cluster_requests_active", "Exchanges under way to the cluster.";
        pending: Gauge = "weir_cluster_pending", "Exchanges waiting for a connection.";
        attempts: Counters<Attempted> = "weir_cluster_attempts_total", "Requests sent to endpoints, repetitions included.";
        retries: Counter = "weir_cluster_retries_total", "Attempts after the first of an exchange.";
        retries_denied: Counters<Denied> = "weir_cluster_retries_denied_total",
            "Attempts that were worth repeating, and were not.";
        retried: Counters<Retried> = "weir_cluster_retried_total", "Exchanges with retries, by how the last attempt went.";
        hedges: Counters<Hedged> = "weir_cluster_hedges_total",
            "Exchanges for which another endpoint was asked as well, the first being slow.";
        ejections: Counters<Ejected> = "weir_cluster_ejections_total",
            "Endpoints that were taken out of use for their answers, or for longer.";
        ejections_spared: Counter = "weir_cluster_ejections_spared_total",
            "Failures for which an endpoint would have been ejected, had not as many been out as may be.";
        returns: Counter = "weir_cluster_returns_total", "Ejected endpoints that came back.";
        checks: Counters<Checked> = "weir_cluster_health_checks_total", "Checks of endpoints' health.";
        endpoints_out: Gauge = "weir_cluster_endpoints_out", "Endpoints that are not used: ejected, or found unhealthy.";
        panics: Counter = "weir_cluster_panics_total",
            "Attempts for which all endpoints were used again, since too few were left.";
        zone_picks: Counters<Zone> = "weir_cluster_zone_picks_total",
            "Endpoints picked for attempts, by zone, where some endpoints are in the proxy's own zone and some are not.";
        connections: Counter = "weir_cluster_connections_total", "Connections made to endpoints.";
        connections_active: Gauge = "weir_cluster_connections_active", "Connections open to endpoints.";
        connect_failures: Counters<ConnectFailure> = "weir_cluster_connect_failures_total",
            "Connections to endpoints that did not come about.";
        tls_refusals: Counters<PeerRefusal> = "weir_cluster_tls_refusals_total",
            "Endpoints refused in the TLS handshake, by what was wrong with them; each is a failed connection as well.";
        endpoints: Gauge = "weir_cluster_endpoints", "Endpoints that exchanges may go to.";
        discovery: Counters<Discovered> = "weir_cluster_discovery_total",
            "Times that a source told of the cluster's endpoints: answers of name servers, changed files.";
        limit_hits: Counters<LimitHit> = "weir_cluster_limit_hits_total", "Times that a limit of the cluster was reached.";
        duration: Histogram = "weir_upstream_duration_seconds",
            "From an attempt's begin to the head of its response.";
        tcp_sent_bytes: Counter = "weir_cluster_tcp_sent_bytes_total", "Bytes of TCP connections sent to endpoints.";
        tcp_received_bytes: Counter = "weir_cluster_tcp_received_bytes_total",
            "Bytes of TCP connections received from endpoints.";
    }
}

scope! {
    /// What a filter counts.
    FilterMetrics labelled Some("filter") => {
        calls: Counters<Hook> = "weir_filter_calls_total", "Calls of the filter's hooks.";
        time: Seconds = "weir_filter_seconds_total", "Time spent in the filter's hooks.";
        faults: Counters<FilterFault> = "weir_filter_faults_total", "Failures of the filter.";
        remembered: Counters<Remembered> = "weir_filter_remembered_total",
            "Decisions looked up in memory, for filters that let theirs be kept.";
        data: Counters<DataRead> = "weir_filter_data_total",
            "Times that data of the filter were read after the start: changed files, and fetches.";
        memory: Gauge = "weir_filter_memory_bytes", "Linear memory of the filter's instances.";
        instances: Gauge = "weir_filter_instances", "Instances of the filter.";
        generation: Gauge = "weir_filter_generation", "Version of the filter in force, counted from 1 at start.";
    }
}

scope! {
    /// What an identity counts.
    IdentityMetrics labelled Some("identity") => {
        renewals: Counter = "weir_identity_svids_total", "SVIDs that came into force, the first included.";
        failures: Counter = "weir_identity_failures_total",
            "Times that no SVID could be had, or one that cannot be used; what is in force stays.";
        expires: Gauge = "weir_identity_expires_timestamp_seconds",
            "When the SVID in force expires, in seconds since 1970; 0 without one.";
    }
}

scope! {
    /// What is not about one configured thing.
    ProcessMetrics labelled None => {
        build_info: Gauge = "weir_build_info", "Always 1; the label tells the version.";
        local_replies: Counters<LocalReply> = "weir_local_replies_total",
            "Exchanges that the proxy answered itself or broke off.";
        config_generation: Gauge = "weir_config_generation", "Configuration in force, counted from 1 at start.";
        config_reloads: Counters<Reload> = "weir_config_reloads_total", "Times that the configuration was read again.";
        snapshots: Gauge = "weir_snapshots", "Configurations in memory: one, and those that exchanges still finish on.";
        swaps: Counter = "weir_snapshots_total",
            "Snapshots put in force: changed configurations, filters and endpoints.";
        unknown_retry_policies: Counter = "weir_retry_policies_unknown_total",
            "Exchanges for which a filter named a retry policy that is not configured; the cluster's own terms counted.";
        overloaded: Gauge = "weir_overloaded", "1 while the process takes more memory than config allows, and so nothing more on.";
        overloads: Counter = "weir_overloads_total", "Times that this began.";
        certificate_failures: Counter = "weir_certificate_reload_failures_total",
            "Changed certificate files that could not be used; the old ones stay in force.";
        access_log_lines: Counter = "weir_access_log_lines_total", "Lines handed to the access log.";
        access_log_dropped: Counter = "weir_access_log_dropped_total",
            "Lines not written: the writer could not keep up, or the file could not be written.";
    }
}
