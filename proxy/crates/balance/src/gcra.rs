//! A token bucket that is one number: the generic cell rate algorithm (ITU-T I.371, annex A; ATM Forum Traffic
//! Management 4.0, 4.4.2). It stands alone because a rate limit keeps one for each key and a key costs 8 bytes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Nanos;

/// When a bucket will be full again: the "theoretical arrival time". A bucket never taken from is full.
///
/// Rate and burst are arguments, so that a reload applies to buckets that exist.
#[derive(Debug, Default)]
pub struct Gcra {
    full_at: AtomicU64,
}

impl Gcra {
    /// A full bucket.
    pub const fn new() -> Self {
        Self { full_at: AtomicU64::new(0) }
    }

    /// Takes `cost` tokens from a bucket that holds `burst` and regains `per_second` of them each second (a
    /// fraction is fine).
    ///
    /// # Errors
    ///
    /// The wait until the bucket would hold so many, nothing being taken; [`Duration::MAX`] if it never will,
    /// because `cost` exceeds `burst` or the rate is not above zero.
    pub fn take(&self, now: Nanos, cost: u32, per_second: f64, burst: u32) -> Result<(), Duration> {
        if cost == 0 {
            return Ok(());
        }
        if cost > burst || per_second.is_nan() || per_second <= 0.0 {
            return Err(Duration::MAX);
        }
        let refill = time_to_gain(cost, per_second);
        let capacity = time_to_gain(burst, per_second);
        let mut full_at = self.full_at.load(Relaxed);
        loop {
            let next = full_at.max(now).saturating_add(refill);
            let wait = next.saturating_sub(now).saturating_sub(capacity);
            if wait > 0 {
                return Err(Duration::from_nanos(wait));
            }
            match self.full_at.compare_exchange_weak(full_at, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    /// Whole tokens in the bucket, as the `RateLimit` field reports them.
    pub fn remaining(&self, now: Nanos, per_second: f64, burst: u32) -> u32 {
        let missing = self.full_at.load(Relaxed).saturating_sub(now) as f64 * per_second / 1e9;
        (f64::from(burst) - missing).max(0.0) as u32
    }

    /// How long until the bucket is full. One that is full says no more than a new one and can be forgotten.
    pub fn full_in(&self, now: Nanos) -> Duration {
        Duration::from_nanos(self.full_at.load(Relaxed).saturating_sub(now))
    }
}

/// Nanoseconds; half of all of them at most, so that no rate however low can overflow a sum.
fn time_to_gain(tokens: u32, per_second: f64) -> Nanos {
    ((f64::from(tokens) * 1e9 / per_second).round() as u64).min(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_the_next_waits_for_one_token() {
        let bucket = Gcra::new();
        for _ in 0..5 {
            assert_eq!(bucket.take(SECOND, 1, 10.0, 5), Ok(()));
        }
        assert_eq!(bucket.take(SECOND, 1, 10.0, 5), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(SECOND + 99_999_999, 1, 10.0, 5), Err(Duration::from_nanos(1)));
        assert_eq!(bucket.take(SECOND + 100_000_000, 1, 10.0, 5), Ok(()));
    }

    #[test]
    fn a_refused_take_costs_nothing() {
        let bucket = Gcra::new();
        assert_eq!(bucket.take(0, 3, 1.0, 5), Ok(()));
        assert_eq!(bucket.take(0, 4, 1.0, 5), Err(Duration::from_secs(2)));
        assert_eq!(bucket.remaining(0, 1.0, 5), 2);
        assert_eq!(bucket.take(0, 2, 1.0, 5), Ok(()));
        assert_eq!(bucket.take(0, 0, 1.0, 5), Ok(()));
    }

    #[test]
    fn what_can_never_be_granted_says_so() {
        assert_eq!(Gcra::new().take(0, 6, 1.0, 5), Err(Duration::MAX));
        for rate in [0.0, -1.0, f64::NAN] {
            assert_eq!(Gcra::new().take(0, 1, rate, 5), Err(Duration::MAX), "{rate}");
        }
    }

    #[test]
    fn extreme_rates_neither_overflow_nor_stall() {
        let slow = Gcra::new();
        assert_eq!(slow.take(u64::MAX / 2, 1, 1e-300, 1), Ok(()));
        assert!(slow.take(u64::MAX / 2, 1, 1e-300, 1).is_err());
        let endless = Gcra::new();
        assert!((0..1000).all(|_| endless.take(7, 1, f64::INFINITY, 1).is_ok()));
    }

    #[test]
    fn over_time_the_rate_is_exact() {
        for (per_second, burst) in [(10.0, 1), (1_000.0, 50), (0.5, 2), (333.0, 10)] {
            let bucket = Gcra::new();
            let taken =
                (0..1_000_000u64).filter(|i| bucket.take(i * 100_000, 1, per_second, burst).is_ok()).count();
            let expected = 100.0 * per_second + f64::from(burst);
            let error = (taken as f64 - expected).abs();
            assert!(error <= 1.0 + expected * 0.01, "{per_second}/s: {taken} of {expected}");
        }
    }

    #[test]
    fn a_bucket_refills_to_its_burst_and_no_further() {
        let bucket = Gcra::new();
        assert_eq!(bucket.take(0, 5, 1.0, 5), Ok(()));
        assert_eq!(bucket.full_in(SECOND), Duration::from_secs(4));
        assert_eq!(bucket.remaining(100 * SECOND, 1.0, 5), 5);
        assert_eq!(bucket.full_in(100 * SECOND), Duration::ZERO);
        assert!((0..5).all(|_| bucket.take(100 * SECOND, 1, 1.0, 5).is_ok()));
        assert!(bucket.take(100 * SECOND, 1, 1.0, 5).is_err());
    }

    #[test]
    fn workers_together_take_the_burst_once() {
        let bucket = Gcra::new();
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = (0..1000).filter(|_| bucket.take(0, 1, 1.0, 1234).is_ok()).count();
                    taken.fetch_add(mine as u64, Relaxed);
                });
            }
        });
        assert_eq!(taken.load(Relaxed), 1234);
    }
}
