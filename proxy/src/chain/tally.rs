//! [`Prepared`]: an instance that is ready for hooks, counted in its filter's gauges for as long as it lives.

use std::sync::Arc;

use weir_runtime::Instance;

use crate::{
    message::Request,
    telemetry::metrics::{FilterMetrics, SHARED},
};

/// An instance that is configured and has seen the data of a version.
pub struct Prepared {
    /// Ready for hooks.
    pub instance: Instance<Request>,
    /// The version of the data it has seen.
    pub data_version: u64,
    metrics: Arc<FilterMetrics>,
    /// Bytes of memory that are counted for it.
    memory: i64,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("data_version", &self.data_version).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Counts an instance.
    pub(super) fn new(instance: Instance<Request>, data_version: u64, metrics: Arc<FilterMetrics>) -> Self {
        metrics.instances.up(SHARED);
        let mut prepared = Self { instance, data_version, metrics, memory: 0 };
        prepared.measure();
        prepared
    }

    /// Takes note of the memory it holds now. Costs a comparison when that did not change.
    #[inline]
    pub(super) fn measure(&mut self) {
        let memory = i64::try_from(self.instance.memory_bytes()).unwrap_or(i64::MAX);
        if memory != self.memory {
            // An instance is made by the control side and used by a worker: neither's own cell.
            self.metrics.memory.shift(SHARED, memory - self.memory);
            self.memory = memory;
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.metrics.memory.shift(SHARED, -self.memory);
        self.metrics.instances.down(SHARED);
    }
}
