//! Requests, failures and latency of the last while, counted by all workers together without a lock.
//!
//! The window is cut in slices. A slice's numbers are packed in one shared cell together with the
//! slice's number, so a single compare-and-exchange either adds to the slice of now or begins it anew:
//! nothing has to be cleared, and a worker that comes late spoils nothing.

use weir_sdk::state::Cell;

const SLICES: u64 = 5;
/// Tries of one addition. So many lost in a row would mean that the cell is being hammered; then one
/// sample more or less does not matter.
const TRIES: u32 = 8;
/// Of a packed cell: 23 bits for the slice (so it is never negative), 40 for numbers.
const SLICE_MASK: u64 = (1 << 23) - 1;
const NUMBER_BITS: u32 = 40;
/// Requests and failures have 20 bits each.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// A longer exchange counts as one of 60 s, in the latency's unit of 100 us.
const MAX_LATENCY: u64 = 600_000;

/// What happened in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    /// Of those that did not fail, in units of 100 us.
    latency: u64,
}

impl Totals {
    /// Failures per request.
    pub(crate) fn failure_rate(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures as f64 / self.requests as f64 }
    }

    pub(crate) fn successes(self) -> u64 {
        self.requests - self.failures
    }

    /// Mean latency of what did not fail, in ms.
    pub(crate) fn latency_ms(self) -> f64 {
        if self.successes() == 0 { 0.0 } else { self.latency as f64 / self.successes() as f64 / 10.0 }
    }
}

pub(crate) struct Window {
    counts: Vec<Cell>,
    latencies: Vec<Cell>,
    slice_ms: u64,
    /// Added to a slice's number, so that what another config counted in the same cells is not taken
    /// for ours.
    salt: u64,
}

impl Window {
    pub(crate) fn new(name: &str, window_ms: u64, salt: u64) -> Self {
        let cells = |what| (0..SLICES).map(|slice| Cell::named(&format!("{name}/{what}/{slice}"))).collect();
        let slice_ms = (window_ms / SLICES).max(1);
        Window { counts: cells("counts"), latencies: cells("latency"), slice_ms, salt }
    }

    /// Counts one exchange.
    pub(crate) fn add(&self, now_ms: u64, failed: bool, latency_us: u64) {
        let (slice, at) = self.slice(now_ms / self.slice_ms);
        let counted = if failed { 1 << COUNT_BITS | 1 } else { 1 };
        let full = |numbers: u64| numbers & COUNT_MASK == COUNT_MASK;
        let added = add(self.counts[at], slice, counted, full);
        if added && !failed {
            add(self.latencies[at], slice, (latency_us / 100).min(MAX_LATENCY), |_| false);
        }
    }

    pub(crate) fn totals(&self, now_ms: u64) -> Totals {
        let mut totals = Totals::default();
        for back in 0..SLICES {
            let (slice, at) = self.slice((now_ms / self.slice_ms).wrapping_sub(back));
            let counts = numbers(self.counts[at].load(), slice);
            totals.requests += counts & COUNT_MASK;
            totals.failures += counts >> COUNT_BITS;
            totals.latency += numbers(self.latencies[at].load(), slice);
        }
        totals
    }

    /// A slice's mark, and the position of its cells.
    fn slice(&self, number: u64) -> (u64, usize) {
        (number.wrapping_add(self.salt) & SLICE_MASK, (number % SLICES) as usize)
    }
}

/// Adds to the slice's numbers in the cell. False: they are full, or others were always faster.
fn add(cell: Cell, slice: u64, by: u64, full: impl Fn(u64) -> bool) -> bool {
    let mut held = cell.load();
    for _ in 0..TRIES {
        let before = numbers(held, slice);
        if full(before) {
            return false;
        }
        let packed = (slice << NUMBER_BITS | (before + by)) as i64;
        match cell.compare_exchange(held, packed) {
            Ok(()) => return true,
            Err(now) => held = now,
        }
    }
    false
}

/// The numbers of a packed cell, if they are this slice's.
fn numbers(packed: i64, slice: u64) -> u64 {
    let packed = packed as u64;
    if packed >> NUMBER_BITS == slice { packed & ((1 << NUMBER_BITS) - 1) } else { 0 }
}
