//! The configuration after all checks: what the proxy is built from.
//!
//! Invalid states cannot be written here: names are resolved to positions, durations are durations, every
//! default is filled in. Nothing of the file's syntax is left.

mod captured;
mod protocol;
mod tls;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use captured::{Destination, Destinations, Found, ToDestination};
pub use protocol::{
    Forwarded, ListenerProtocol, Network, ProxyProtocol, ProxyProtocolMode, ProxyProtocolVersion,
};
pub use tls::{
    Certificate, ClientAuth, Identity, IdentitySource, ListenerCertificates, ListenerIdentity, ListenerTls,
    Mtls, UpstreamIdentity, UpstreamNames, UpstreamTls,
};

use crate::{Problem, Written};

mod ejection;
mod filter;
mod health;
mod retry;

pub use ejection::{Ejection, SuccessRate};
pub use filter::{DataSource, Filter, FilterLimits, Grants, OnFault, WasmSource};
pub use health::{Check, Health, HealthKind, Initial};
pub use retry::{GrpcStatus, Hedge, Retry, RetryPolicy};

/// The label that says where an endpoint is.
pub const ZONE: &str = "zone";

/// A whole, consistent configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// None: there is no admin API.
    pub admin: Option<Admin>,
    /// Threads that carry traffic, 1 to 1024.
    pub workers: usize,
    /// Folder of compiled filters; none: they are not kept.
    pub cache: Option<PathBuf>,
    /// How names of endpoints are resolved.
    pub dns: Dns,
    /// Where a successor asks for the sockets.
    pub restart: Option<PathBuf>,
    /// Time for exchanges under way when the proxy ends.
    pub drain: Duration,
    /// Memory of the process above which nothing more is taken on; none: it is not looked at.
    pub memory: Option<MemoryMark>,
    /// The least important messages that are written.
    pub log: LogLevel,
    /// Where a line for each exchange goes.
    pub access_log: AccessLog,
    /// At least one; names are unique, as below.
    pub listeners: Vec<Listener>,
    /// In the order written.
    pub filters: Vec<Filter>,
    /// In the order written.
    pub clusters: Vec<Cluster>,
    /// In the order written.
    pub limits: Vec<RateLimit>,
    /// In the order written.
    pub retry_policies: Vec<RetryPolicy>,
    /// In the order written.
    pub identities: Vec<Identity>,
    /// What works, but was likely not meant like this.
    pub warnings: Vec<Problem>,
    /// The file itself, to be shown.
    pub written: Written,
}

/// Position of a cluster in [`Config::clusters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// Position of a filter in [`Config::filters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterId(pub u32);

/// The admin API.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Where it listens. Port 0: any free one.
    pub address: SocketAddr,
}

/// How names of endpoints are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Dns {
    /// None: those that the system is set up with.
    pub servers: Vec<SocketAddr>,
    /// How long a start or reload waits for answers.
    pub timeout: Duration,
}

/// The least important messages that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// None at all.
    Off,
    /// What failed.
    Error,
    /// What is likely to fail, or was kept from it.
    Warn,
    /// What changed: starts, swaps, reloads.
    #[default]
    Info,
    /// What happens on the way, for whoever looks for a fault.
    Debug,
    /// Everything, at the cost of speed.
    Trace,
}

/// How much memory is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryMark {
    /// So much.
    Bytes(u64),
    /// So much of what the process may use, 10 to 100.
    Percent(u8),
}

/// Where a line for each exchange goes.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// Where to listen or to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// To be resolved while the proxy runs. Only endpoints have names.
    Name {
        /// A DNS name in lower case.
        host: Arc<str>,
        /// Not 0.
        port: u16,
    },
    /// SRV records that tell hosts, ports and weights. Only endpoints have them.
    Srv {
        /// A DNS name in lower case: `_http._tcp.users.internal`.
        service: Arc<str>,
    },
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// A place where traffic enters. For HTTP it has a chain, a cluster, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// As in `[listeners.NAME]`.
    pub name: Arc<str>,
    /// [`Address::Tcp`] or [`Address::Unix`]; unique, unless its port is 0 (any free one).
    pub address: Address,
    /// In order.
    pub chain: Vec<FilterId>,
    /// Where an exchange goes when no filter chose a cluster.
    pub cluster: Option<ClusterId>,
    /// None: plain text.
    pub tls: Option<ListenerTls>,
    /// What it bears.
    pub limits: ListenerLimits,
    /// How it treats what other proxies said.
    pub forwarded: Forwarded,
    /// How it treats what callers say of their patience.
    pub request_timeouts: RequestTimeouts,
    /// Protocols that a caller may change to, in lower case.
    pub upgrades: Vec<Arc<str>>,
    /// `CONNECT` is taken.
    pub connect: bool,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// By name asked for, in lower case, `*.suffix` included; only for [`ListenerProtocol::TlsPassthrough`].
    pub sni: BTreeMap<Arc<str>, ClusterId>,
    /// Whom it believes who a connection comes from; none: nobody.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The system leads connections here that were going elsewhere (`weir capture`): clusters by where that was. None:
    /// it does not.
    pub captured: Option<Destinations>,
}

/// What a listener bears. See the configuration reference for the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerLimits {
    /// Connections at once, over all workers.
    pub connections: usize,
    /// Bytes of a request head.
    pub head: usize,
    /// Fields in a request head.
    pub fields: usize,
    /// Bytes of a request body; none: unlimited.
    pub body: Option<u64>,
    /// From the first byte to the end of the handshake.
    pub tls_handshake_timeout: Duration,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// Longest time without an exchange.
    pub idle_timeout: Duration,
    /// Longest silence while a body is in transit, either way.
    pub body_timeout: Duration,
    /// How long first bytes are waited for.
    pub detect_timeout: Duration,
    /// Longest silence of a tunnel or a TCP connection, both ways together.
    pub tunnel_idle_timeout: Duration,
    /// Concurrent streams of one HTTP/2 connection.
    pub streams: u32,
    /// Requests served on one connection before it is closed; none: unlimited.
    pub requests: Option<u64>,
}

/// How a listener treats `grpc-timeout` and `x-request-timeout` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestTimeouts {
    /// An exchange takes no longer than its caller waits; endpoints are told what is left.
    #[default]
    Honour,
    /// Take them away: right at an edge whose callers are not to cut their exchanges short.
    Drop,
    /// Pass as received, without heeding them.
    Pass,
}

/// Endpoints that serve the same thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// As in `[clusters.NAME]`.
    pub name: Arc<str>,
    /// How an endpoint is picked.
    pub balancer: Balancer,
    /// What is spoken with them.
    pub protocol: UpstreamProtocol,
    /// Where its endpoints are told.
    pub endpoints: Endpoints,
    /// None: plain text.
    pub tls: Option<UpstreamTls>,
    /// From the first packet of a connection until it can be used, TLS included.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// For a whole exchange, retries included.
    pub exchange_timeout: Duration,
    /// Further attempts of an exchange.
    pub retries: u8,
    /// After which failures.
    pub retry: Retry,
    /// None: one endpoint is asked at a time.
    pub hedge: Option<Hedge>,
    /// Which endpoints are not used for a while.
    pub ejection: Ejection,
    /// With fewer endpoints in use than this (50 %), all are used; 0: never.
    pub panic_percent: u32,
    /// Where no endpoint has the labels that are asked for, any will do.
    pub subset_fallback_to_any: bool,
    /// How long endpoints that come into use are eased in; none: they are not.
    pub slow_start: Option<Duration>,
    /// The zone whose endpoints are preferred, which is that of the process; none: it does not count.
    pub own_zone: Option<Arc<str>>,
    /// None: endpoints are not asked whether they are well.
    pub health: Option<Health>,
    /// What it is spared.
    pub limits: ClusterLimits,
    /// Endpoints are told who a TCP connection comes from; none: they are not.
    pub proxy_protocol: Option<ProxyProtocolVersion>,
}

/// Where the endpoints of a cluster are told.
#[derive(Debug, Clone, PartialEq)]
pub enum Endpoints {
    /// In the configuration: at least one, and at least one has a weight.
    Listed(Vec<Endpoint>),
    /// In a file that exists: see [`load_endpoints`](crate::load_endpoints).
    File(PathBuf),
    /// By each captured connection, of its own.
    Destination(ToDestination),
}

impl Endpoints {
    /// What stands for them; none: they are the cluster's.
    pub fn to_destination(&self) -> Option<ToDestination> {
        match self {
            Self::Destination(to) => Some(*to),
            Self::Listed(_) | Self::File(_) => None,
        }
    }

    /// Those that the configuration lists.
    pub fn listed(&self) -> &[Endpoint] {
        match self {
            Self::Listed(listed) => listed,
            Self::File(_) | Self::Destination(_) => &[],
        }
    }
}

/// How an endpoint is picked for an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Balancer {
    /// In turn, by weight.
    RoundRobin,
    /// By weight.
    Random,
    /// Of two, the one with fewer exchanges under way.
    LeastRequest,
    /// Of two, the one expected to answer sooner.
    PeakEwma {
        /// How long a latency is remembered.
        decay: Duration,
        /// Assumed of an endpoint that has not answered yet.
        default_rtt: Duration,
    },
    /// The same endpoint for the same key, on a ring of hashes.
    RingHash,
    /// The same endpoint for the same key, by table.
    Maglev,
}

/// What is spoken with the endpoints of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2; without TLS by prior knowledge.
    H2,
    /// With TLS what the endpoint prefers (ALPN); without, HTTP/1.1.
    #[default]
    Auto,
}

/// One server of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name may stand for many.
    pub address: Address,
    /// Relative to the others, 0 to 65,535; 0 gets nothing.
    pub weight: u32,
    /// What filters choose subsets by.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// 0 to 100; a smaller number is used first.
    pub priority: u32,
}

/// Bounds of a cluster over all workers.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterLimits {
    /// Connections at once (1,024).
    pub connections: u32,
    /// Exchanges waiting for a connection (1,024).
    pub pending: u32,
    /// Exchanges under way (1,024).
    pub requests: u32,
    /// Bytes of a response head (64 KiB).
    pub head: usize,
}

/// A token bucket for each key, that filters take from by name. The state is shared by them.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// As in `[limits.NAME]`.
    pub name: Arc<str>,
    /// Tokens that come back each second; more than 0 and finite.
    pub per_second: f64,
    /// Tokens of a full bucket, at least 1.
    pub burst: u32,
}
