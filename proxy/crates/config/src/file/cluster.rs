//! `[clusters.NAME]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Certificate, Duration, Ejection, EndpointAddress, FilePath, Health, Hedge, List, Name, PeerPattern,
    Retry, ServerName, Size,
};
use crate::checked::{ProxyProtocolVersion, ToDestination, UpstreamProtocol};

/// A group of endpoints that serve the same thing.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cluster {
    /// How an endpoint is picked for an attempt.
    pub(crate) balancer: BalancerKind,
    pub(crate) peak_ewma: Option<PeakEwma>,
    /// What is spoken with the endpoints.
    pub(crate) protocol: UpstreamProtocol,
    /// At least one, unless the cluster has a `discovery` or a `destination`.
    #[schemars(
        length(min = 1),
        example = json!([{ "address": "10.0.0.1:8080" }, { "address": "10.0.0.2:8080" }])
    )]
    pub(crate) endpoints: Option<List<Endpoint>>,
    pub(crate) discovery: Option<Discovery>,
    /// The cluster has no endpoints of its own: each captured connection goes on to where it was going. Limits, the
    /// budget of retries and metrics are for all destinations together. HTTP goes on in the version that it came in, unless
    /// `protocol` names one. Only for connections that come in at a listener
    /// with `captured`.
    #[schemars(example = &"original")]
    pub(crate) destination: Option<ToDestination>,
    /// Speak TLS with the endpoints. Without this section it is plain text.
    pub(crate) tls: Option<UpstreamTls>,
    /// From the first packet of a connection until it can be used, TLS included.
    #[schemars(extend("x-least" = "1ms", "x-most" = "10m"))]
    pub(crate) connect_timeout: Duration,
    /// How long an unused connection is kept. Many origins close theirs after 60 s, some at the very moment
    /// a request is on its way; staying below lets Weir close first.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1d"))]
    pub(crate) idle_timeout: Duration,
    /// Until the head of the response, all attempts included; from the request's begin, or from its end if its
    /// body was still under way. Later is answered 504. A filter may choose another for its routes.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1d"))]
    pub(crate) exchange_timeout: Duration,
    /// Further attempts of an exchange, on another endpoint if there is one, after what `retry` calls worth trying
    /// again. Before each there is a wait of up to 25 ms, doubling up to 250 ms, or what the answer's
    /// `Retry-After` says; an attempt that time does not allow for any more is not made. A filter may choose
    /// another number for its routes.
    #[schemars(range(min = 0, max = 10))]
    pub(crate) retries: u8,
    pub(crate) retry: Retry,
    pub(crate) hedge: Option<Hedge>,
    pub(crate) ejection: Ejection,
    /// If fewer of the endpoints are in use than this, all are used again: the few would break under what the others
    /// do not get. 0: never.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) panic_percent: u32,
    /// Where an exchange goes for which a filter asked for labels that no endpoint carries.
    pub(crate) subset_fallback: SubsetFallback,
    /// An endpoint that joins others, or comes back after it was ejected or unhealthy, gets a tenth of its share at
    /// first and the whole after this time, growing evenly. Not where a key chooses the endpoint (`ring_hash`,
    /// `maglev`). Without it an endpoint gets its whole share at once.
    #[schemars(extend("x-least" = "1s", "x-most" = "1h"), example = "30s")]
    pub(crate) slow_start: Option<Duration>,
    /// Send traffic to endpoints in the zone of the process (`[node]`) as long as they suffice, the rest to all
    /// others. They suffice as long as they weigh five sevenths of what a zone has on average, of the endpoints in
    /// use; if there are fewer, so much less of the traffic stays. Of no effect where the process or the endpoints
    /// have no zone, and where a key chooses the endpoint (`ring_hash`, `maglev`).
    pub(crate) zone_preference: bool,
    pub(crate) health: Option<Health>,
    pub(crate) limits: ClusterLimits,
    /// Tell endpoints who a connection comes from (PROXY protocol), in its first bytes. Only for `tcp` and
    /// `tls_passthrough` listeners: connections for HTTP are shared by many callers, and say that they are Weir's own.
    #[schemars(example = &"v2")]
    pub(crate) proxy_protocol: Option<ProxyProtocolVersion>,
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            balancer: BalancerKind::default(),
            peak_ewma: None,
            protocol: UpstreamProtocol::Auto,
            endpoints: None,
            discovery: None,
            destination: None,
            tls: None,
            connect_timeout: Duration::seconds(1),
            idle_timeout: Duration::seconds(50),
            exchange_timeout: Duration::seconds(15),
            retries: 1,
            retry: Retry::default(),
            hedge: None,
            ejection: Ejection::default(),
            panic_percent: 50,
            subset_fallback: SubsetFallback::None,
            slow_start: None,
            zone_preference: true,
            health: None,
            limits: ClusterLimits::default(),
            proxy_protocol: None,
        }
    }
}

/// What becomes of an exchange for which no endpoint has the labels.
#[derive(Default, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SubsetFallback {
    /// Nowhere: it is answered 503.
    #[default]
    None,
    /// To any endpoint.
    Any,
}

#[derive(Default, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BalancerKind {
    /// Of two picked at random, the one that is expected to answer sooner: its latency, which jumps to a
    /// peak and decays slowly, times the exchanges it has under way.
    #[default]
    PeakEwma,
    /// Of two picked at random, the one with fewer exchanges under way for its weight.
    LeastRequest,
    /// In turn, by weight.
    RoundRobin,
    /// By weight.
    Random,
    /// The same endpoint for the same key, on a ring of hashes.
    RingHash,
    /// The same endpoint for the same key, by a table of 65,537 slots.
    Maglev,
}

/// How the `peak_ewma` balancer estimates latency.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PeakEwma {
    /// How long a latency is remembered.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1h"))]
    pub(crate) decay: Duration,
    /// The latency of an endpoint that has not answered anything yet.
    #[schemars(extend("x-least" = "1us", "x-most" = "1m"))]
    pub(crate) default_rtt: Duration,
}

impl Default for PeakEwma {
    fn default() -> PeakEwma {
        PeakEwma { decay: Duration::seconds(10), default_rtt: Duration::milliseconds(30) }
    }
}

/// Endpoints that are told from elsewhere and change while the proxy runs, instead of `endpoints`.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["file"]))]
pub(crate) struct Discovery {
    /// A file with a list `endpoints`, written as in a cluster: TOML, or JSON if its name ends in `.json`. It may be
    /// empty (`endpoints = []`). A change comes into force by itself; one that cannot be read or has an error
    /// leaves the endpoints as they were. Replace it by a rename, so that nobody reads half of it.
    #[schemars(example = "users.endpoints.toml")]
    pub(crate) file: Option<FilePath>,
}

/// What a file of endpoints holds.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["endpoints"]))]
pub(crate) struct EndpointsFile {
    /// May be empty.
    #[schemars(example = json!([{ "address": "10.0.0.1:8080" }]))]
    pub(crate) endpoints: List<Endpoint>,
}

/// One server of a cluster.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub(crate) struct Endpoint {
    /// Where it listens. A name stands for every address that it has, each an endpoint of its own; it is asked for
    /// again as often as its answers say (1 s to 1 h). SRV records tell hosts, ports, weights and priorities: the
    /// best of theirs counts as `priority`, the next ones after it.
    #[schemars(
        example = "10.0.0.1:8080",
        example = "users.internal:8080",
        example = "srv:_http._tcp.users.internal",
        example = "unix:/run/users.sock"
    )]
    pub(crate) address: Option<EndpointAddress>,
    /// Its share of the traffic, relative to the others of its cluster; 0 takes it out.
    #[schemars(range(min = 0, max = 65_535))]
    pub(crate) weight: u32,
    /// Whatever tells endpoints apart; filters choose subsets by it.
    #[schemars(example = json!({ "version": "v1" }))]
    pub(crate) labels: BTreeMap<String, String>,
    /// Where it is. The same as a label `zone`.
    #[schemars(example = &"eu-central-1a")]
    pub(crate) zone: Option<String>,
    /// Endpoints with a larger number are used when those with a smaller one do not suffice: 0 takes all the traffic
    /// as long as five in seven of its endpoints are in use, below that the next one takes the rest.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) priority: u32,
}

impl Default for Endpoint {
    fn default() -> Endpoint {
        Endpoint { address: None, weight: 1, labels: BTreeMap::new(), zone: None, priority: 0 }
    }
}

/// TLS towards the endpoints; their certificates are always verified, by name or, with an `identity`, by who they
/// are.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UpstreamTls {
    /// PEM file of the roots to trust; the public ones if absent.
    #[schemars(example = "ca.pem")]
    pub(crate) ca: Option<FilePath>,
    /// The name to ask for (SNI) and, without an identity, to verify; the host of the endpoint's address if
    /// absent.
    #[schemars(example = "users.internal")]
    pub(crate) server_name: Option<ServerName>,
    /// Shown to endpoints that ask for one.
    pub(crate) certificate: Option<Certificate>,
    /// Show this identity, one of `[identities.NAME]`, and know endpoints by theirs.
    #[schemars(example = &"cart")]
    pub(crate) identity: Option<Name>,
    /// With an identity: who the endpoints may be, as patterns. One that is somebody else counts as one that
    /// cannot be connected to.
    #[schemars(example = json!(["spiffe://shop.example/ns/*/sa/users"]))]
    pub(crate) expect: List<PeerPattern>,
    /// Accept TLS 1.2 beside 1.3. If absent: without an identity yes, with one no.
    #[schemars(example = true)]
    pub(crate) allow_tls12: Option<bool>,
}

/// What the cluster is spared, over all workers. Beyond, exchanges are answered 503.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClusterLimits {
    /// Connections at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) connections: u32,
    /// Exchanges that wait for a connection.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) pending: u32,
    /// Exchanges under way.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) requests: u32,
    /// Bytes of a response head; longer ones are answered 502.
    #[schemars(extend("x-least" = "1KiB", "x-most" = "1MiB"))]
    pub(crate) head: Size,
}

impl Default for ClusterLimits {
    fn default() -> ClusterLimits {
        ClusterLimits { connections: 1024, pending: 1024, requests: 1024, head: Size::kib(64) }
    }
}
