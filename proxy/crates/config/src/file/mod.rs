//! The configuration as operators write it: the one place where a key, its default and its meaning stand.
//!
//! The JSON schema and the reference are generated from these types, and the file is checked against that
//! schema before it is read into them. Every value that is broken has been taken out by then, so nothing here is
//! mandatory for serde: what must be there says so in `required`, and is `None` only when a problem has been
//! reported already.

mod address;
mod cluster;
mod ejection;
mod filter;
mod health;
mod identity;
mod list;
mod listener;
mod network;
mod overload;
mod retry;
mod spiffe;
mod text;
mod value;

pub(crate) use address::{
    AdminAddress, DnsServer, EndpointAddress, ListenerAddress, ServerName, Url, is_host,
};
pub(crate) use cluster::{
    BalancerKind, Cluster, Endpoint, EndpointsFile, PeakEwma, SubsetFallback, UpstreamTls,
};
pub(crate) use ejection::Ejection;
pub(crate) use filter::{Data, Filter, FilterLimits};
pub(crate) use health::Health;
pub(crate) use identity::Identity;
pub(crate) use list::{List, Named};
pub(crate) use listener::{Certificate, Listener, ListenerLimits, ListenerTls, Protocol};
pub(crate) use network::Network;
pub(crate) use overload::{MemoryMark, Overload};
pub(crate) use retry::{Hedge, Retry, RetryPolicy};
pub(crate) use spiffe::{PeerPattern, SpiffeIdText, WorkloadApi};
pub use text::BUILTIN_FILTERS;
pub(crate) use text::{FilePath, LogTarget, Name, Sha256, Upgrade, Wasm, WorkerCount};
pub(crate) use value::{Duration, Leaf, Rejection, Size};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::checked;

/// The configuration of Weir: one TOML file.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) admin: Option<Admin>,
    pub(crate) node: Node,
    pub(crate) workers: Workers,
    pub(crate) drain: Drain,
    pub(crate) overload: Overload,
    pub(crate) restart: Option<Restart>,
    pub(crate) cache: Cache,
    pub(crate) dns: Dns,
    pub(crate) telemetry: Telemetry,
    pub(crate) access_log: AccessLog,
    pub(crate) listeners: Named<Listener>,
    pub(crate) filters: Named<Filter>,
    pub(crate) clusters: Named<Cluster>,
    pub(crate) limits: Named<RateLimit>,
    pub(crate) retry_policies: Named<RetryPolicy>,
    pub(crate) identities: Named<Identity>,
}

/// The admin API: health, metrics, the state of everything, drain, swap. Without this section there is none.
/// A change comes into force with a restart.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub(crate) struct Admin {
    /// Where it listens. Whoever can reach it can drain the proxy and swap filters: keep it on loopback.
    #[schemars(example = "127.0.0.1:9901")]
    pub(crate) address: Option<AdminAddress>,
}

/// Where the process runs.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    /// Its zone, as endpoints name theirs. Clusters with endpoints in this zone send traffic there first: see
    /// `zone_preference`. The environment variable `WEIR_ZONE` overrules it, so that all zones can have one file.
    #[schemars(example = &"eu-central-1a")]
    pub(crate) zone: Option<String>,
}

/// The threads that carry traffic. A change comes into force with a restart.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workers {
    /// How many; `"cores"` is one for each core that the process may use.
    #[schemars(example = 4)]
    pub(crate) count: WorkerCount,
}

/// Ending gracefully, on SIGTERM or when the admin API asks.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drain {
    /// Exchanges under way may take this long to finish; what is left then is cut off.
    #[schemars(extend("x-least" = "0s", "x-most" = "1h"))]
    pub(crate) timeout: Duration,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain { timeout: Duration::seconds(30) }
    }
}

/// Restarting without losing a connection: a new process takes the listening sockets over from the one that runs. A
/// change comes into force with a restart.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["socket"]))]
pub(crate) struct Restart {
    /// A Unix socket. Whoever starts with the same path while this process runs gets its sockets; as soon as the new
    /// process serves, the old one drains. Only the same user, or root, may ask. At most 90 bytes.
    #[schemars(example = "/run/weir/restart.sock")]
    pub(crate) socket: Option<FilePath>,
}

/// Compiled filters, kept for the next start. A change comes into force with a restart.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    /// A folder that only Weir writes to: its files are run as native code. It is made if it is missing.
    /// Without it, filters are compiled at every start.
    #[schemars(example = "/var/cache/weir")]
    pub(crate) directory: Option<FilePath>,
}

/// How names of endpoints are resolved.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dns {
    /// Servers to ask, instead of those in `/etc/resolv.conf`. The hosts file counts either way.
    #[schemars(example = json!(["10.0.0.2", "10.0.0.3:5353"]))]
    pub(crate) servers: List<DnsServer>,
    /// How long a start, or a reload with new names, waits for answers. A cluster whose names are not known by then
    /// begins without endpoints and answers 503 until they are.
    #[schemars(extend("x-least" = "0s", "x-most" = "1m"))]
    pub(crate) timeout: Duration,
}

impl Default for Dns {
    fn default() -> Dns {
        Dns { servers: List::default(), timeout: Duration::seconds(5) }
    }
}

/// What the proxy says about itself.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// The least important messages that are still written to standard error.
    pub(crate) log: checked::LogLevel,
}

/// One JSON line for each exchange. A change comes into force with a restart.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AccessLog {
    /// `"off"`, `"stdout"`, or a file that lines are appended to.
    #[schemars(example = "access.log")]
    pub(crate) to: LogTarget,
}

/// A token bucket for each key that a filter counts by (`state.limit`, `state.take`). All filters that name a
/// limit share it.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["per_second", "burst"]))]
pub(crate) struct RateLimit {
    /// Tokens that come back each second.
    #[schemars(range(min = 0.0001, max = 1_000_000_000), example = 100)]
    pub(crate) per_second: Option<f64>,
    /// Tokens of a bucket that is full: what may be taken at once.
    #[schemars(range(min = 1, max = 1_000_000_000), example = 200)]
    pub(crate) burst: Option<u32>,
}
