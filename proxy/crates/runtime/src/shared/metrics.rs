//! A filter's own counters.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// As the contract says.
pub(crate) const MAX_METRICS: usize = 64;
const MAX_NAME_BYTES: usize = 64;
const MAX_HELP_BYTES: usize = 256;

/// One counter as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// `weir_filter_NAME_total` is its full name. Lower-case letters, digits and "_".
    pub name: String,
    /// What it counts, on one line.
    pub help: String,
    /// What was counted so far.
    pub value: u64,
}

struct Counter {
    name: Box<str>,
    help: Box<str>,
    value: AtomicU64,
}

/// Found by name once, then used by position without a lock.
pub(crate) struct Metrics {
    /// How many there are; held while one is made.
    made: Mutex<usize>,
    counters: [OnceLock<Counter>; MAX_METRICS],
}

impl Default for Metrics {
    fn default() -> Self {
        Self { made: Mutex::new(0), counters: [const { OnceLock::new() }; MAX_METRICS] }
    }
}

impl Metrics {
    /// The position of a counter, made if it is new; the error says what is wrong with it.
    pub(crate) fn find(&self, name: &str, help: &str) -> Result<u32, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.counters.iter().map_while(OnceLock::get).position(|counter| &*counter.name == name);
        let position = match known {
            Some(position) => position,
            None => {
                check(name)?;
                let free = self.counters.get(*made).ok_or(format!("more than {MAX_METRICS} metrics"))?;
                free.get_or_init(|| Counter {
                    name: name.into(),
                    help: one_line(help),
                    value: AtomicU64::new(0),
                });
                *made += 1;
                *made - 1
            }
        };
        u32::try_from(position).map_err(|error| error.to_string())
    }

    /// Adds to the counter at a position; `None` if there is none.
    pub(crate) fn count(&self, position: u32, by: u64) -> Option<()> {
        let counter = self.counters.get(position as usize)?.get()?;
        counter.value.fetch_add(by, Relaxed);
        Some(())
    }

    pub(crate) fn all(&self) -> Vec<Metric> {
        let made = self.counters.iter().map_while(OnceLock::get);
        let shown = made.map(|counter| Metric {
            name: counter.name.to_string(),
            help: counter.help.to_string(),
            value: counter.value.load(Relaxed),
        });
        shown.collect()
    }
}

/// It becomes part of a metric's name, so only what Prometheus allows there.
fn check(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(legal) {
        return Err(format!("a metric's name is 1 to {MAX_NAME_BYTES} of a-z, 0-9 and \"_\", not {name:?}"));
    }
    Ok(())
}

fn one_line(help: &str) -> Box<str> {
    let end = help.floor_char_boundary(MAX_HELP_BYTES);
    help[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_again_and_count() {
        let metrics = Metrics::default();
        let hits = metrics.find("hits", "What was\nhit.").unwrap();
        let misses = metrics.find("misses", "").unwrap();
        assert_eq!(metrics.find("hits", "other"), Ok(hits));
        metrics.count(hits, 2).unwrap();
        metrics.count(hits, 3).unwrap();
        metrics.count(misses, 1).unwrap();
        let all = metrics.all();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], Metric { name: "hits".into(), help: "What was hit.".into(), value: 5 });
        assert_eq!(all[1].value, 1);
        assert_eq!(metrics.count(2, 1), None);
    }

    #[test]
    fn names_and_number_are_bounded() {
        let metrics = Metrics::default();
        for bad in ["", "Upper", "a-b", "a b", "é", &"a".repeat(65)] {
            assert!(metrics.find(bad, "").is_err(), "{bad:?}");
        }
        for i in 0..MAX_METRICS {
            metrics.find(&format!("m{i}"), "").unwrap();
        }
        assert!(metrics.find("one_more", "").is_err());
        assert_eq!(metrics.find("m7", ""), Ok(7));
    }
}
