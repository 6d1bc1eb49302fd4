//! The configuration after all checks: what the proxy is built from.
//!
//! Invalid states cannot be written here: names are resolved to positions, durations are durations, every
//! default is filled in. Nothing of the file's syntax is left.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

/// A whole, consistent configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub admin: Option<Admin>,
    pub workers: usize,
    pub cache: Option<PathBuf>,
    pub drain: Duration,
    pub access_log: AccessLog,
    pub listeners: Vec<Listener>,
    pub filters: Vec<Filter>,
    pub clusters: Vec<Cluster>,
    pub limits: Vec<RateLimit>,
}

/// Position of a cluster in [`Config::clusters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// Position of a filter in [`Config::filters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterId(pub u32);

#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    pub address: SocketAddr,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AccessLog {
    Off,
    Stdout,
    File(PathBuf),
}

/// Where to listen or to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub name: Arc<str>,
    pub address: Address,
    /// In order.
    pub chain: Vec<FilterId>,
    /// Where an exchange goes when no filter chose a cluster.
    pub cluster: Option<ClusterId>,
    pub tls: Option<ListenerTls>,
    pub limits: ListenerLimits,
    pub forwarded: Forwarded,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTls {
    /// At least one; the first is served when no name matches.
    pub certificates: Vec<Certificate>,
    pub client_auth: ClientAuth,
    /// Roots that client certificates must chain to.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.2 is accepted beside 1.3.
    pub allow_tls12: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    Request,
    Require,
}

/// What a listener bears. See the configuration reference for the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerLimits {
    pub connections: usize,
    /// Bytes of a request head.
    pub head: usize,
    /// Fields in a request head.
    pub fields: usize,
    /// Bytes of a request body; none: unlimited.
    pub body: Option<u64>,
    pub tls_handshake_timeout: Duration,
    pub head_timeout: Duration,
    pub idle_timeout: Duration,
    /// Longest silence while a body is in transit, either way.
    pub body_timeout: Duration,
    /// Concurrent streams of one HTTP/2 connection.
    pub streams: u32,
    /// Requests served on one connection before it is closed; none: unlimited.
    pub requests: Option<u64>,
}

/// How a listener treats `X-Forwarded-*` and `Forwarded` fields of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// Replace whatever the caller sent (an edge: the default).
    Replace,
    /// Add to what the caller sent (behind another proxy).
    Append,
    /// Pass as received.
    Keep,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub name: Arc<str>,
    pub wasm: WasmSource,
    /// Lower-case hex; the file must have it.
    pub sha256: Option<[u8; 32]>,
    pub on_fault: OnFault,
    pub limits: FilterLimits,
    /// What the filter is configured with, as JSON text.
    pub config_json: Arc<str>,
    pub data: BTreeMap<Arc<str>, DataSource>,
    pub grants: Grants,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WasmSource {
    Builtin(Arc<str>),
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    Deny,
    Skip,
    LastGood,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FilterLimits {
    /// CPU time of one hook (5 ms).
    pub time: Duration,
    /// Linear memory of one instance (16 MiB).
    pub memory: usize,
    /// Calls to the proxy in one hook (10,000).
    pub host_calls: u32,
    /// Bytes of keyed state over all workers (4 MiB).
    pub state: usize,
    /// Bytes of a body shown whole (1 MiB).
    pub body: usize,
    /// Bytes of an answer to a question (64 KiB).
    pub answer: usize,
    /// Remembered decisions per worker (4,096).
    pub remembered: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum DataSource {
    File(PathBuf),
    /// Fetched through a cluster, again every `refresh`.
    Url { cluster: ClusterId, authority: Arc<str>, path: Arc<str>, refresh: Duration },
}

/// Clusters a filter may name.
#[derive(Debug, Clone, PartialEq)]
pub struct Grants {
    /// To route to; none: every cluster.
    pub clusters: Option<Vec<ClusterId>>,
    /// To ask.
    pub ask: Vec<ClusterId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    pub name: Arc<str>,
    pub balancer: Balancer,
    pub protocol: UpstreamProtocol,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    pub tls: Option<UpstreamTls>,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    pub exchange_timeout: Duration,
    /// Further attempts when nothing was sent.
    pub retries: u8,
    pub limits: ClusterLimits,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Balancer {
    RoundRobin,
    Random,
    LeastRequest,
    PeakEwma { decay: Duration, default_rtt: Duration },
    RingHash,
    Maglev,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    H1,
    H2,
    /// By ALPN over TLS; HTTP/1.1 without.
    Auto,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// `host:port` is resolved once when the configuration is loaded.
    pub address: Address,
    pub weight: u32,
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTls {
    /// None: the public roots that come with the proxy.
    pub ca: Option<PathBuf>,
    pub server_name: Option<Arc<str>>,
    /// Shown to origins that ask for one.
    pub certificate: Option<Certificate>,
    pub allow_tls12: bool,
}

/// Bounds of a cluster over all workers.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterLimits {
    /// 1,024.
    pub connections: u32,
    /// Exchanges waiting for a connection (1,024).
    pub pending: u32,
    /// Exchanges under way (1,024).
    pub requests: u32,
    /// Bytes of a response head (64 KiB).
    pub head: usize,
}

/// A token bucket that filters take from by name.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    pub name: Arc<str>,
    /// Filters that may use it; the state is shared by them.
    pub per_second: f64,
    pub burst: u32,
}
