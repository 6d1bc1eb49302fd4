//! [`RouteChoice`]: what the filters of a chain have said so far about where an exchange goes.

use std::sync::Arc;

use compact_str::CompactString;
use smallvec::SmallVec;
use weir_config::checked::ClusterId;

/// Merged from all filters; of two that say the same thing the later one wins.
#[derive(Debug, Clone, Default)]
pub struct RouteChoice {
    /// The cluster and its name.
    pub cluster: Option<(ClusterId, Arc<str>)>,
    /// Labels that an endpoint must carry, sorted by name.
    pub labels: SmallVec<[(CompactString, CompactString); 2]>,
    /// Milliseconds for the exchange.
    pub timeout_ms: Option<u32>,
    /// Further attempts.
    pub retries: Option<u8>,
    /// Key for consistent-hash balancers.
    pub hash: Option<u64>,
    /// Where a copy goes.
    pub mirror: Option<ClusterId>,
    /// Metric label.
    pub name: Option<CompactString>,
}

impl RouteChoice {
    /// Asks for a label; replaces an earlier one of the same name.
    pub fn require(&mut self, name: &str, value: &str) {
        match self.labels.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(at) => self.labels[at].1 = value.into(),
            Err(at) => self.labels.insert(at, (name.into(), value.into())),
        }
    }

    /// Nothing chosen; memory is kept.
    pub fn clear(&mut self) {
        let Self { cluster, labels, timeout_ms, retries, hash, mirror, name } = self;
        labels.clear();
        (*cluster, *timeout_ms, *retries, *hash, *mirror, *name) = Default::default();
    }
}
