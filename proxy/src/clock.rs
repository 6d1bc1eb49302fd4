//! The time: one reading of the monotonic clock for everything that measures, one of the wall clock for
//! everything that is shown.
//!
//! Balancers, budgets and timeouts take plain numbers, so that they can be simulated; this is where the
//! real numbers come from. Both readings go through the vDSO and cost some 20 ns.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use weir_balance::Nanos;

/// A clock that starts at zero. Copies of it agree: make one per process and hand it on.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// Nanoseconds since the clock began. Never goes back; lasts 584 years.
    pub fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// Where an instant lies on this clock; zero if it was before the beginning.
    pub fn at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The instant that a reading of this clock stands for, as timers of the runtime want it.
    pub fn instant(&self, nanos: u64) -> Instant {
        self.start.checked_add(Duration::from_nanos(nanos)).unwrap_or(self.start)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::start()
    }
}

/// A reading so much later; the end of all time if that is beyond it.
pub fn later(reading: Nanos, by: Duration) -> Nanos {
    reading.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))
}

/// Milliseconds since 1970-01-01 00:00 UTC, leap seconds not counted. Zero on a machine whose clock is
/// set before that.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_agree_and_readings_never_go_back() {
        let clock = Clock::start();
        let copy = clock;
        let first = clock.now();
        let second = copy.now();
        let third = clock.now();
        assert!(first <= second && second <= third);
    }

    #[test]
    fn a_reading_and_its_instant_are_the_same_moment() {
        let clock = Clock::start();
        let later = clock.start + Duration::from_millis(1_500);
        assert_eq!(clock.at(later), 1_500_000_000);
        assert_eq!(clock.instant(1_500_000_000), later);
    }

    #[test]
    fn what_was_before_the_beginning_reads_as_zero() {
        let before = Instant::now();
        let clock = Clock { start: before + Duration::from_secs(1) };
        assert_eq!(clock.at(before), 0);
    }

    #[test]
    fn the_wall_clock_stands_after_the_year_2020() {
        assert!(unix_ms() > 1_577_836_800_000);
    }
}
