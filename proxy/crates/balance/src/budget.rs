//! How many attempts may be repetitions: a share of the requests, and a few a second besides, over the last seconds.
//! Each caller that tries again on its own makes an overload worse; together they may add no more than this
//! (Finagle's and Linkerd's retry budgets; "Addressing Cascading Failures", in Beyer et al., "Site Reliability
//! Engineering", 2016, chapter 22).
//!
//! The budget does not count requests, since others do so already and counting twice would cost each of them
//! something. It is told their number now and then, and whenever a repetition is wanted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Nanos;

/// What is looked back at, seconds.
const WINDOW: u64 = 10;
/// Seconds that are kept: more than the window, so that none is written that still counts.
const KEPT: usize = 16;
const SECOND: Nanos = 1_000_000_000;
/// Bits of a word that hold a count; the others tell the second it belongs to, as far as they go (194 days, and
/// 18 hours).
const RETRIES_BITS: u32 = 40;
const REQUESTS_BITS: u32 = 48;

/// A budget of repetitions, shared by all workers.
///
/// It is exact for one worker. Several that ask at the same moment may each be granted the last one.
#[derive(Debug)]
pub struct Budget {
    percent: u32,
    per_second: u32,
    seconds: [Slot; KEPT],
}

/// What is known of one second.
#[derive(Debug, Default)]
struct Slot {
    /// Requests so far when it was first looked at.
    requests: AtomicU64,
    /// Repetitions granted in it.
    retries: AtomicU64,
}

impl Budget {
    /// Repetitions up to `percent` of the requests of the last 10 s, and `per_second` for each of these seconds.
    pub fn new(percent: u32, per_second: u32) -> Self {
        Self { percent, per_second, seconds: Default::default() }
    }

    /// Notes how many requests there were since the beginning. To be called each second or so; the first call of
    /// a second counts.
    pub fn look(&self, now: Nanos, requests: u64) {
        let second = now / SECOND;
        let slot = self.slot(second);
        if count_of(slot.requests.load(Relaxed), second, REQUESTS_BITS).is_none() {
            slot.requests.store(word(second, requests, REQUESTS_BITS), Relaxed);
        }
    }

    /// Takes one repetition out of the budget, if there is one left. `requests` as in [`look`](Self::look).
    #[must_use = "what is granted counts as made"]
    pub fn spend(&self, now: Nanos, requests: u64) -> bool {
        self.look(now, requests);
        if self.spent(now) >= self.allowed(now, requests) {
            return false;
        }
        let second = now / SECOND;
        let one_more = |word: u64| {
            let granted = count_of(word, second, RETRIES_BITS).unwrap_or(0);
            Some(self::word(second, granted + 1, RETRIES_BITS))
        };
        // Cannot fail: the closure always gives a value.
        let _ = self.slot(second).retries.fetch_update(Relaxed, Relaxed, one_more);
        true
    }

    /// Repetitions granted within the last 10 s.
    pub fn spent(&self, now: Nanos) -> u64 {
        self.window(now)
            .filter_map(|(second, slot)| count_of(slot.retries.load(Relaxed), second, RETRIES_BITS))
            .sum()
    }

    /// Repetitions that the last 10 s bear.
    pub fn allowed(&self, now: Nanos, requests: u64) -> u64 {
        let known =
            |(second, slot): (u64, &Slot)| count_of(slot.requests.load(Relaxed), second, REQUESTS_BITS);
        let before = self.window(now).filter_map(known).min().unwrap_or(requests);
        // As many bits as were kept; the rest would look like a difference.
        let requests = requests & mask(REQUESTS_BITS);
        requests.saturating_sub(before) * u64::from(self.percent) / 100 + u64::from(self.per_second) * WINDOW
    }

    /// The seconds that count, with what is known of them.
    fn window(&self, now: Nanos) -> impl Iterator<Item = (u64, &Slot)> {
        let second = now / SECOND;
        (second.saturating_sub(WINDOW - 1)..=second).map(|second| (second, self.slot(second)))
    }

    fn slot(&self, second: u64) -> &Slot {
        &self.seconds[second as usize % KEPT]
    }
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// A count together with its second, so that nobody reads one without the other. The second is off by one, since
/// a word of nothing must not look like the first second.
fn word(second: u64, count: u64, bits: u32) -> u64 {
    (second + 1) << bits | count & mask(bits)
}

/// The count in a word, if it belongs to this second.
fn count_of(word: u64, second: u64, bits: u32) -> Option<u64> {
    (word >> bits == ((second + 1) << bits) >> bits).then_some(word & mask(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn without_requests_there_are_the_few_a_second() {
        let budget = Budget::new(20, 10);
        let granted = (0..200).filter(|_| budget.spend(5 * SECOND, 7)).count();
        assert_eq!(granted, 100, "ten seconds of ten");
        assert!(!budget.spend(14 * SECOND + 999 * MS, 7));
        assert!(budget.spend(15 * SECOND, 7), "after ten seconds they are forgotten");
    }

    #[test]
    fn a_share_of_the_requests_is_granted() {
        let budget = Budget::new(20, 0);
        budget.look(0, 0);
        assert!(!budget.spend(1, 4) && budget.spend(1, 5) && !budget.spend(1, 9) && budget.spend(1, 10));
        assert_eq!((budget.spent(1), budget.allowed(1, 1000)), (2, 200));
    }

    #[test]
    fn old_requests_bear_nothing() {
        let budget = Budget::new(20, 0);
        budget.look(0, 0);
        budget.look(9 * SECOND, 1_000);
        assert_eq!(budget.allowed(9 * SECOND, 1_000), 200);
        budget.look(10 * SECOND, 1_000);
        assert_eq!(budget.allowed(10 * SECOND, 1_000), 0);
    }

    #[test]
    fn a_budget_of_nothing_grants_nothing() {
        let budget = Budget::new(0, 0);
        budget.look(0, 0);
        assert!((0..100).all(|n| !budget.spend(n * SECOND, n * 1_000_000)));
    }

    #[test]
    fn over_any_time_no_more_is_granted_than_said() {
        let budget = Budget::new(20, 10);
        let (mut requests, mut granted) = (0u64, Vec::new());
        // A thousand requests a second, all of which fail, for a minute; looked at each second.
        for ms in 0..60_000u64 {
            requests += 1;
            if ms % 1_000 == 0 {
                budget.look(ms * MS, requests);
            }
            if budget.spend(ms * MS, requests) {
                granted.push(ms);
            }
        }
        for from in (0..50_000).step_by(500) {
            let within = granted.iter().filter(|&&ms| (from..from + 10_000).contains(&ms)).count();
            // The window moves in steps of a second.
            assert!(within <= 2_100 + 220, "{within} from {from} ms on");
        }
        let all = granted.len();
        assert!((11_000..=12_700).contains(&all), "{all}: the share is not there");
    }

    #[test]
    fn counts_beyond_what_is_kept_do_not_look_like_a_flood() {
        let budget = Budget::new(100, 0);
        budget.look(0, u64::MAX);
        assert!(!budget.spend(SECOND, u64::MAX));
        let late = Budget::new(100, 0);
        late.look(u64::MAX - SECOND, 5);
        assert!(late.spend(u64::MAX, 6) && !late.spend(u64::MAX, 6));
    }

    #[test]
    fn workers_that_ask_at_once_get_little_more() {
        let budget = Budget::new(0, 100);
        let granted: usize = std::thread::scope(|scope| {
            let ask = || (0..2_000).filter(|_| budget.spend(0, 0)).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert!((1_000..1_004).contains(&granted), "{granted}");
    }
}
