//! [`Overload`]: whether the process takes nothing more on, for all who ask before they begin something.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::clock::unix_ms;

/// Written when something changes, and read for each connection and exchange.
#[derive(Debug, Default)]
pub struct Overload {
    on: AtomicBool,
    mark: AtomicU64,
    since_unix_ms: AtomicU64,
}

impl Overload {
    /// Whether it is so. One relaxed load.
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// It begins, or ends.
    pub fn set(&self, on: bool) {
        self.since_unix_ms.store(unix_ms(), Relaxed);
        self.on.store(on, Relaxed);
    }

    /// Bytes above which it begins; 0: it does not.
    pub fn set_mark(&self, mark: u64) {
        self.mark.store(mark, Relaxed);
    }

    /// See [`set_mark`](Self::set_mark).
    pub fn mark(&self) -> u64 {
        self.mark.load(Relaxed)
    }

    /// When it last began or ended, if it ever did; milliseconds since 1970.
    pub fn since_unix_ms(&self) -> Option<u64> {
        Some(self.since_unix_ms.load(Relaxed)).filter(|since| *since > 0)
    }
}
