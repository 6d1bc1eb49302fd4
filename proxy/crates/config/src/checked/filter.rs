//! What of the configuration is about a filter.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClusterId;

/// A policy and what it may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// As in `[filters.NAME]`.
    pub name: Arc<str>,
    /// Where its code comes from.
    pub wasm: WasmSource,
    /// The code must have it.
    pub sha256: Option<[u8; 32]>,
    /// What an exchange gets for which it gave no usable decision.
    pub on_fault: OnFault,
    /// What it may use up.
    pub limits: FilterLimits,
    /// What the filter is configured with, as the text of a JSON object; keys in the order written.
    pub config_json: Arc<str>,
    /// What it is handed through `update`, by name.
    pub data: BTreeMap<Arc<str>, DataSource>,
    /// Which clusters it may name.
    pub grants: Grants,
}

/// Where a filter's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WasmSource {
    /// One of [`crate::BUILTIN_FILTERS`].
    Builtin(Arc<str>),
    /// A file that exists.
    File(PathBuf),
}

/// What an exchange gets for which a filter gave no usable decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// It is refused: right for whatever protects something.
    #[default]
    Deny,
    /// It goes on as if the filter were not there.
    Skip,
    /// The previous version of the filter decides, if there is one; else it is refused.
    LastGood,
}

/// What one filter may use up. In brackets: the defaults.
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

/// Content that a filter is handed.
#[derive(Debug, Clone, PartialEq)]
pub enum DataSource {
    /// A file that exists.
    File(PathBuf),
    /// Fetched through a cluster.
    Url {
        /// Has TLS if the address said `https`.
        cluster: ClusterId,
        /// Host, and port if the address had one.
        authority: Arc<str>,
        /// With query; begins with `/`.
        path: Arc<str>,
        /// From one fetch to the next.
        refresh: Duration,
    },
}

/// Clusters a filter may name.
#[derive(Debug, Clone, PartialEq)]
pub struct Grants {
    /// To route to; none: every cluster.
    pub clusters: Option<Vec<ClusterId>>,
    /// To ask.
    pub ask: Vec<ClusterId>,
}
