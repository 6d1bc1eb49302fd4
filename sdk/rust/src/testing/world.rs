//! What all instances of a filter share in a test: state, clock, random numbers, metrics, log lines.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::host::Level;

/// Bounds of the contract, so that a filter that breaks them fails in its test.
const MAX_CELLS: usize = 4_096;
const MAX_METRICS: usize = 64;
/// Any fixed time will do; this one is plainly not now.
const START_MS: u64 = 1_700_000_000_000;

pub(super) struct World(RefCell<Shared>);

struct Shared {
    cells: Vec<(String, i64)>,
    values: HashMap<String, (Vec<u8>, Option<u64>)>,
    limits: Vec<Limit>,
    metrics: Vec<(String, u64)>,
    lines: Vec<(Level, String)>,
    now_ms: u64,
    seed: u64,
}

/// A token bucket as config would name it, filled by time.
struct Limit {
    name: String,
    per_second: f64,
    burst: f64,
    /// Tokens left and the time they were counted.
    buckets: HashMap<String, (f64, u64)>,
}

impl World {
    pub(super) fn new() -> Self {
        World(RefCell::new(Shared {
            cells: Vec::new(),
            values: HashMap::new(),
            limits: Vec::new(),
            metrics: Vec::new(),
            lines: Vec::new(),
            now_ms: START_MS,
            seed: 1,
        }))
    }

    pub(super) fn cell(&self, name: &str) -> u32 {
        let cells = &mut self.0.borrow_mut().cells;
        let at = cells.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            assert!(cells.len() < MAX_CELLS, "trap: more than {MAX_CELLS} cells");
            cells.push((name.to_owned(), 0));
            cells.len() - 1
        });
        at as u32
    }

    /// The value of a cell by name, if a filter ever asked for one.
    pub(super) fn cell_named(&self, name: &str) -> Option<i64> {
        self.0.borrow().cells.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Changes a cell and returns what it held.
    pub(super) fn replace_cell(&self, cell: u32, change: impl FnOnce(i64) -> i64) -> i64 {
        let mut shared = self.0.borrow_mut();
        let (_, value) = shared.cells.get_mut(cell as usize).expect("trap: no such cell");
        let held = *value;
        *value = change(held);
        held
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let shared = self.0.borrow();
        let (value, end) = shared.values.get(key)?;
        end.is_none_or(|end| shared.now_ms < end).then(|| value.clone())
    }

    pub(super) fn put(&self, key: &str, value: &[u8], ttl_ms: u32) {
        let mut shared = self.0.borrow_mut();
        let end = (ttl_ms > 0).then(|| shared.now_ms + u64::from(ttl_ms));
        shared.values.insert(key.to_owned(), (value.to_vec(), end));
    }

    pub(super) fn add_limit(&self, name: String, per_second: f64, burst: u32) {
        let limit = Limit { name, per_second, burst: f64::from(burst), buckets: HashMap::new() };
        self.0.borrow_mut().limits.push(limit);
    }

    pub(super) fn limit(&self, name: &str) -> Result<u32, String> {
        let shared = self.0.borrow();
        let at = shared.limits.iter().position(|limit| limit.name == name);
        at.map(|at| at as u32).ok_or_else(|| format!("no limit \"{name}\""))
    }

    pub(super) fn take(&self, limit: u32, key: &str, cost: u32) -> u32 {
        let mut shared = self.0.borrow_mut();
        let now = shared.now_ms;
        let limit = shared.limits.get_mut(limit as usize).expect("trap: no such limit");
        let (tokens, counted) = limit.buckets.entry(key.to_owned()).or_insert((limit.burst, now));
        let filled = *tokens + now.saturating_sub(*counted) as f64 / 1_000.0 * limit.per_second;
        (*tokens, *counted) = (filled.min(limit.burst), now);
        let missing = f64::from(cost) - *tokens;
        if missing <= 0.0 {
            *tokens -= f64::from(cost);
            return 0;
        }
        // At least 1: 0 means taken. The cast saturates.
        ((missing / limit.per_second * 1_000.0).ceil() as u32).max(1)
    }

    pub(super) fn metric(&self, name: &str) -> u32 {
        let metrics = &mut self.0.borrow_mut().metrics;
        let at = metrics.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            assert!(metrics.len() < MAX_METRICS, "trap: more than {MAX_METRICS} metrics");
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        at as u32
    }

    pub(super) fn count(&self, metric: u32, by: u64) {
        let mut shared = self.0.borrow_mut();
        shared.metrics.get_mut(metric as usize).expect("trap: no such metric").1 += by;
    }

    pub(super) fn metric_named(&self, name: &str) -> Option<u64> {
        self.0.borrow().metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        self.0.borrow_mut().lines.push((level, message.to_owned()));
    }

    pub(super) fn lines(&self) -> Vec<(Level, String)> {
        self.0.borrow().lines.clone()
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.0.borrow().now_ms
    }

    pub(super) fn set_now_ms(&self, now_ms: u64) {
        self.0.borrow_mut().now_ms = now_ms;
    }

    pub(super) fn set_seed(&self, seed: u64) {
        self.0.borrow_mut().seed = seed;
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): every seed gives a good sequence.
    pub(super) fn random(&self) -> u64 {
        let seed = &mut self.0.borrow_mut().seed;
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
