//! Numbers, values and rate limits shared by all workers and all versions of this filter. They
//! survive a swap, not a restart.

use std::time::Duration;

use crate::backend;

/// A shared 64-bit number. Found once, in `configure`; each use is one call to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell(u32);

impl Cell {
    /// The number of this name, 0 at first. In `configure` only; at most 4,096 per filter.
    pub fn named(name: &str) -> Cell {
        Cell(backend::cell(name))
    }

    /// What it holds.
    pub fn load(self) -> i64 {
        backend::load(self.0)
    }

    /// Adds, wrapping, and returns the new value.
    #[allow(clippy::should_implement_trait)] // the contract's word, and it changes what it is called on
    pub fn add(self, by: i64) -> i64 {
        backend::add(self.0, by)
    }

    /// Stores `new` if the cell holds `expected`; else the error is what it holds.
    pub fn compare_exchange(self, expected: i64, new: i64) -> Result<(), i64> {
        backend::compare_exchange(self.0, expected, new)
    }
}

/// The value kept under this key, if it is still there.
pub fn get(key: &str) -> Option<Vec<u8>> {
    backend::get(key)
}

/// Keeps a value under this key; `ttl` none: until displaced. The store is bounded by config
/// (`limits.state`): when it is full the entries nearest their end go first.
pub fn put(key: &str, value: &[u8], ttl: Option<Duration>) {
    let ttl_ms = ttl.map_or(0, |ttl| u32::try_from(ttl.as_millis().max(1)).unwrap_or(u32::MAX));
    backend::put(key, value, ttl_ms);
}

/// A rate limit that config names under `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// The limit of this name. In `configure` only; the error says that config has none.
    pub fn named(name: &str) -> Result<Limit, String> {
        backend::limit(name).map(Limit)
    }

    /// Takes `cost` from the bucket of `key`; the error is how long until it could be taken.
    pub fn take(self, key: &str, cost: u32) -> Result<(), Duration> {
        match backend::take(self.0, key, cost) {
            0 => Ok(()),
            wait_ms => Err(Duration::from_millis(u64::from(wait_ms))),
        }
    }
}
