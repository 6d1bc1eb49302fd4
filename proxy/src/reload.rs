//! Noticing that files changed which the running configuration was made from.
//!
//! It stands apart from applying a change ([`crate::app`]): what is noticed here is only that there is reason
//! to read again.

use std::path::PathBuf;

use weir_config::checked::{
    Certificate, Config, DataSource, IdentitySource, ListenerTls, UpstreamTls, WasmSource,
};

pub use crate::files::{Seen, Watch};

/// Every file that a configuration names and that is read when it is loaded: code and data of filters,
/// certificates, keys and roots. Files of endpoints are not among them: these change by themselves.
pub fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for filter in &config.filters {
        if let WasmSource::File(path) = &filter.wasm {
            files.push(path.clone());
        }
        files.extend(filter.data.values().filter_map(|source| match source {
            DataSource::File(path) => Some(path.clone()),
            DataSource::Url { .. } => None,
        }));
    }
    let pair = |one: &Certificate| [one.cert.clone(), one.key.clone()];
    for listener in &config.listeners {
        if let Some(ListenerTls::Certificates(tls)) = &listener.tls {
            files.extend(tls.certificates.iter().flat_map(pair));
            files.extend(tls.client_ca.clone());
        }
    }
    for cluster in &config.clusters {
        if let Some(UpstreamTls::Names(tls)) = &cluster.tls {
            files.extend(tls.certificate.iter().flat_map(pair));
            files.extend(tls.ca.clone());
        }
    }
    for identity in &config.identities {
        if let IdentitySource::Files { certificate, bundle } = &identity.source {
            files.extend(pair(certificate));
            files.push(bundle.clone());
        }
    }
    files
}
