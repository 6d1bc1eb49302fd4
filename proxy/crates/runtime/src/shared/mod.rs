//! What a filter keeps across workers, instances and versions: numbers, values and metrics.
//!
//! One [`Shared`] belongs to a filter's *name*. The proxy hands the same one to every version it swaps
//! in, which is how state survives a swap.

mod cells;
mod log;
mod metrics;
mod values;

use cells::Cells;
pub(crate) use log::{Level, LogBudget};
use metrics::Metrics;
use values::KeyedValues;

pub use metrics::Metric;

/// Bounds of what a filter keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedSettings {
    /// Bytes of keyed values, keys and bookkeeping included.
    pub state_bytes: usize,
    /// Lines that the filter may log in one second, over all workers.
    pub log_lines_per_second: u32,
}

impl Default for SharedSettings {
    fn default() -> Self {
        Self { state_bytes: 4 << 20, log_lines_per_second: 100 }
    }
}

/// The state of one filter, by name.
pub struct Shared {
    pub(crate) cells: Cells,
    pub(crate) values: KeyedValues,
    pub(crate) metrics: Metrics,
    pub(crate) log: LogBudget,
}

impl Shared {
    /// Nothing kept yet.
    pub fn new(settings: SharedSettings) -> Self {
        Self {
            cells: Cells::default(),
            values: KeyedValues::new(settings.state_bytes),
            metrics: Metrics::default(),
            log: LogBudget::new(settings.log_lines_per_second),
        }
    }

    /// Takes over bounds that config changed; what is too much now goes at once.
    pub fn apply(&self, settings: SharedSettings) {
        self.values.limit(settings.state_bytes);
        self.log.limit(settings.log_lines_per_second);
    }

    /// The filter's counters, in the order in which they were made.
    pub fn metrics(&self) -> Vec<Metric> {
        self.metrics.all()
    }

    /// What a cell holds, if the filter has made it: for tools and tests.
    pub fn cell(&self, name: &str) -> Option<i64> {
        self.cells.peek(name)
    }

    /// Bytes of keyed values kept now.
    pub fn state_bytes(&self) -> usize {
        self.values.bytes()
    }

    /// Keyed values displaced before their time because the store was full.
    pub fn state_displaced(&self) -> u64 {
        self.values.displaced()
    }
}
