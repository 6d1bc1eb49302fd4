//! `[identities.NAME]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{FilePath, SpiffeIdText, WorkloadApi};

/// Who the proxy is to other workloads: an X.509-SVID with its key, and the bundle that the SVIDs of others must
/// chain to. Give either `files` or `workload_api`. Listeners and clusters name it in their `tls`; a proxy for
/// several services has one for each.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Identity {
    /// Files that somebody else keeps fresh. They are read again when they change; a certificate whose key has
    /// not come yet waits for it.
    #[schemars(example = json!({ "cert": "svid.pem", "key": "svid.key", "bundle": "bundle.pem" }))]
    pub(crate) files: Option<IdentityFiles>,
    /// The socket of a SPIFFE agent (Workload API), which brings the SVID and each renewal.
    #[schemars(example = &"unix:/run/spire/agent.sock")]
    pub(crate) workload_api: Option<WorkloadApi>,
    /// The only ID to take: where an agent has several for this process, or as a guard against a wrong file.
    #[schemars(example = &"spiffe://shop.example/ns/web/sa/cart")]
    pub(crate) id: Option<SpiffeIdText>,
}

/// An SVID in files.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["cert", "key", "bundle"]))]
pub(crate) struct IdentityFiles {
    /// PEM file: the SVID, then those that lead to an authority of the bundle.
    #[schemars(example = "svid.pem")]
    pub(crate) cert: Option<FilePath>,
    /// PEM file of the private key.
    #[schemars(example = "svid.key")]
    pub(crate) key: Option<FilePath>,
    /// PEM file of the authorities of the trust domain.
    #[schemars(example = "bundle.pem")]
    pub(crate) bundle: Option<FilePath>,
}
