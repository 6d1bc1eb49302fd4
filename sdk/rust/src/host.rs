//! What the proxy does for a filter besides: log lines, the clock, random numbers, metrics.

use crate::backend;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For the filter's author.
    Debug,
    /// For the operator, once in a while.
    Info,
    /// Something is wrong but handled.
    Warn,
    /// Something is wrong.
    Error,
}

/// Writes a log line under the filter's name; lines are bounded per second. See [`crate::info!`].
pub fn log(level: Level, message: &str) {
    backend::log(level, message);
}

/// Unix time, in ms.
pub fn now_ms() -> u64 {
    backend::now_ms()
}

/// A random number from the proxy's generator.
pub fn random() -> u64 {
    backend::random()
}

/// A counter `weir_filter_NAME_total`, labelled with the filter's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric(u32);

impl Metric {
    /// The counter of this name. In `configure` only; at most 64 per filter.
    pub fn named(name: &str, help: &str) -> Metric {
        Metric(backend::metric(name, help))
    }

    /// Counts this many.
    pub fn add(self, by: u64) {
        backend::count(self.0, by);
    }

    /// Counts one.
    pub fn increment(self) {
        self.add(1);
    }
}
