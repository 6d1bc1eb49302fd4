//! A filter's log lines: under its name, cleaned, and no more than so many a second.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Longer messages are cut.
const MAX_MESSAGE_BYTES: usize = 4096;

/// As in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Counts lines of the current second, over all workers.
pub(crate) struct LogBudget {
    per_second: AtomicU32,
    /// The second in the upper half, lines written in it below.
    window: AtomicU64,
    /// Lines not written since one was.
    dropped: AtomicU64,
}

impl LogBudget {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), window: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    pub(crate) fn limit(&self, per_second: u32) {
        self.per_second.store(per_second, Relaxed);
    }

    /// Writes a line, or counts it as dropped; what was dropped is told with the next line written.
    pub(crate) fn write(&self, filter: &str, level: Level, message: &str, now_ms: u64) {
        if !is_enabled(level) {
            return;
        }
        if !self.admit(now_ms) {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!(target: "weir::filter", filter, dropped, "lines were dropped");
        }
        emit(filter, level, &clean(message));
    }

    fn admit(&self, now_ms: u64) -> bool {
        let second = (now_ms / 1000) & u64::from(u32::MAX);
        let limit = u64::from(self.per_second.load(Relaxed));
        let admitted = self.window.fetch_update(Relaxed, Relaxed, |window| {
            let (of, lines) = (window >> 32, window & u64::from(u32::MAX));
            let lines = if of == second { lines } else { 0 };
            (lines < limit).then_some(second << 32 | (lines + 1))
        });
        admitted.is_ok()
    }
}

fn is_enabled(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(target: "weir::filter", tracing::Level::TRACE),
        Level::Debug => tracing::enabled!(target: "weir::filter", tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(target: "weir::filter", tracing::Level::INFO),
        Level::Warn => tracing::enabled!(target: "weir::filter", tracing::Level::WARN),
        Level::Error => tracing::enabled!(target: "weir::filter", tracing::Level::ERROR),
    }
}

fn emit(filter: &str, level: Level, message: &str) {
    match level {
        Level::Trace => tracing::trace!(target: "weir::filter", filter, "{message}"),
        Level::Debug => tracing::debug!(target: "weir::filter", filter, "{message}"),
        Level::Info => tracing::info!(target: "weir::filter", filter, "{message}"),
        Level::Warn => tracing::warn!(target: "weir::filter", filter, "{message}"),
        Level::Error => tracing::error!(target: "weir::filter", filter, "{message}"),
    }
}

/// A guest may hand on what a stranger sent: it must not forge lines or drive a terminal.
fn clean(message: &str) -> String {
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
    message[..end].trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_in_a_second() {
        let budget = LogBudget::new(3);
        let admitted = |now_ms| (0..10).filter(|_| budget.admit(now_ms)).count();
        assert_eq!(admitted(5_000), 3);
        assert_eq!(admitted(5_999), 0);
        assert_eq!(admitted(6_000), 3);
        budget.limit(0);
        assert_eq!(admitted(9_000), 0);
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        assert_eq!(clean("a\nb\x1b[31m\r\n"), "a b [31m");
        assert_eq!(clean(&"é".repeat(4096)).len(), MAX_MESSAGE_BYTES);
    }
}
