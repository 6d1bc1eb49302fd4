//! `[filters.NAME]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Duration, FilePath, List, Name, Named, Sha256, Size, Url, Wasm};
use crate::checked::OnFault;

/// A policy: a WebAssembly component that decides about exchanges.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["wasm"]))]
pub(crate) struct Filter {
    /// Where its code comes from.
    #[schemars(example = "builtin:router", example = "filters/mine.wasm")]
    pub(crate) wasm: Option<Wasm>,
    /// SHA-256 that the code must have; anything else is not loaded.
    #[schemars(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub(crate) sha256: Option<Sha256>,
    /// What an exchange gets for which the filter gave no usable decision: it trapped, took too long, or
    /// answered something that is not allowed.
    pub(crate) on_fault: OnFault,
    pub(crate) limits: FilterLimits,
    /// What the filter itself is configured with. It is handed over as JSON (dates as text); its keys are
    /// described with the filter.
    #[schemars(example = json!({ "issuer": "https://idp.example.com" }))]
    // Read from the document itself, and empty here.
    pub(crate) config: Map<String, Value>,
    /// Files and addresses whose content the filter is handed when it starts, and again when it changes.
    pub(crate) data: Named<Data>,
    pub(crate) grants: Grants,
}

/// What one filter may use up.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FilterLimits {
    /// CPU time of one call.
    #[schemars(extend("x-least" = "100us", "x-most" = "10s"))]
    pub(crate) time: Duration,
    /// Linear memory of one instance. There is one instance for each worker.
    #[schemars(extend("x-least" = "64KiB", "x-most" = "4GiB"))]
    pub(crate) memory: Size,
    /// Calls to the proxy in one call of the filter.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub(crate) host_calls: u32,
    /// Bytes of keyed state, over all workers; when it is full, the entries nearest their end go first.
    #[schemars(extend("x-least" = "0B", "x-most" = "64GiB"))]
    pub(crate) state: Size,
    /// Bytes of a request body that is held and shown whole; longer ones are answered 413.
    #[schemars(extend("x-least" = "0B", "x-most" = "1GiB"))]
    pub(crate) body: Size,
    /// Bytes of an answer to a question of the filter.
    #[schemars(extend("x-least" = "0B", "x-most" = "64MiB"))]
    pub(crate) answer: Size,
    /// Remembered decisions, for each worker; 0 remembers none.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub(crate) remembered: u32,
}

impl Default for FilterLimits {
    fn default() -> FilterLimits {
        FilterLimits {
            time: Duration::milliseconds(5),
            memory: Size::mib(16),
            host_calls: 10_000,
            state: Size::mib(4),
            body: Size::mib(1),
            answer: Size::kib(64),
            remembered: 4096,
        }
    }
}

/// Either a file, or an address with the cluster that it is fetched through.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Data {
    /// A file; it is read again when it changes.
    #[schemars(example = "jwks.json")]
    pub(crate) file: Option<FilePath>,
    /// An address. Whether TLS is spoken is for the cluster to say; an `https` address needs one with TLS.
    #[schemars(example = "https://idp.example.com/keys")]
    pub(crate) url: Option<Url>,
    /// The cluster that the address is fetched through. Needed with `url`.
    #[schemars(example = &"idp")]
    pub(crate) cluster: Option<Name>,
    /// How often the address is fetched. When that fails, what is known stays in force.
    #[schemars(extend("x-least" = "1s", "x-most" = "7d"))]
    pub(crate) refresh: Duration,
}

impl Default for Data {
    fn default() -> Data {
        Data { file: None, url: None, cluster: None, refresh: Duration::seconds(300) }
    }
}

/// The clusters that the filter may use.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Grants {
    /// Clusters that it may route and mirror to. All, if absent.
    #[schemars(example = json!(["users", "users-cache"]))]
    pub(crate) clusters: Option<List<Name>>,
    /// Clusters that it may send questions of its own to.
    #[schemars(example = json!(["idp"]))]
    pub(crate) ask: List<Name>,
}
