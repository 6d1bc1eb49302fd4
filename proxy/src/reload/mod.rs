//! Noticing that files changed which the running configuration was made from.
//!
//! It stands apart from applying a change ([`crate::app`]): what is noticed here is only that there is reason
//! to read again. A file is known by what `stat` says of it, taken before the file is read, so that no change
//! falls between reading and watching.

mod seen;
mod watch;

use std::path::PathBuf;

use weir_config::checked::{Config, DataSource, WasmSource};

pub use seen::Seen;
pub use watch::Watch;

/// Every file that a configuration names and that is read when it is loaded: code and data of filters,
/// certificates, keys and roots.
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
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        files.extend(tls.certificates.iter().flat_map(|one| [one.cert.clone(), one.key.clone()]));
        files.extend(tls.client_ca.clone());
    }
    for tls in config.clusters.iter().filter_map(|cluster| cluster.tls.as_ref()) {
        files.extend(tls.certificate.iter().flat_map(|one| [one.cert.clone(), one.key.clone()]));
        files.extend(tls.ca.clone());
    }
    files
}
