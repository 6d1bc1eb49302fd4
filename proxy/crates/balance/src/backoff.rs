//! How long to wait before trying again. Waits double up to a cap and are spread by chance, so that those who
//! failed together do not return together (Brooker, "Exponential Backoff And Jitter", AWS 2015).

use std::time::Duration;

use crate::Random;

/// How much of a wait is left to chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// All: from nothing to the whole wait. For many callers of one endpoint.
    Full,
    /// Half: from half the wait to the whole. For what must not be hammered, such as making an instance again.
    Half,
}

/// A doubling wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the first repetition.
    pub base: Duration,
    /// No wait is longer.
    pub cap: Duration,
    /// What chance may take off.
    pub jitter: Jitter,
}

impl Backoff {
    /// Between attempts of one exchange: 25 ms, at most 250 ms, full jitter.
    pub const RETRY: Self =
        Self { base: Duration::from_millis(25), cap: Duration::from_millis(250), jitter: Jitter::Full };

    /// Between attempts to make or fetch something again, after it broke: 100 ms, at most 30 s, half jitter.
    pub const RECREATE: Self =
        Self { base: Duration::from_millis(100), cap: Duration::from_secs(30), jitter: Jitter::Half };

    /// The wait after `failures` failures in a row, of which there is at least one.
    pub fn wait(&self, failures: u32, random: &mut impl Random) -> Duration {
        let doublings = failures.saturating_sub(1);
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let whole = self.base.saturating_mul(factor).min(self.cap);
        let spread = match self.jitter {
            Jitter::Full => whole,
            Jitter::Half => whole / 2,
        };
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
        whole - spread + Duration::from_nanos(random.below(nanos.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wyrand;

    /// The least and the most of many waits, milliseconds.
    fn range(backoff: Backoff, failures: u32) -> (f64, f64) {
        let mut random = Wyrand::new(3);
        let waits = (0..10_000).map(|_| backoff.wait(failures, &mut random).as_secs_f64() * 1e3);
        waits.fold((f64::MAX, 0.0), |(least, most), wait| (least.min(wait), f64::max(most, wait)))
    }

    #[test]
    fn full_jitter_fills_each_doubled_wait_up_to_the_cap() {
        for (failures, whole) in
            [(0, 25.0), (1, 25.0), (2, 50.0), (3, 100.0), (4, 200.0), (5, 250.0), (99, 250.0)]
        {
            let (least, most) = range(Backoff::RETRY, failures);
            assert!(
                least < whole * 0.01 && most <= whole && most > whole * 0.99,
                "{failures}: {least} {most}"
            );
        }
    }

    #[test]
    fn half_jitter_never_waits_less_than_half() {
        for (failures, whole) in [(1, 100.0), (2, 200.0), (9, 25_600.0), (10, 30_000.0), (u32::MAX, 30_000.0)]
        {
            let (least, most) = range(Backoff::RECREATE, failures);
            assert!(
                least >= whole * 0.5 && most <= whole && most > whole * 0.99,
                "{failures}: {least} {most}"
            );
        }
    }

    #[test]
    fn extreme_waits_do_not_overflow() {
        let longest = Backoff { base: Duration::MAX, cap: Duration::MAX, jitter: Jitter::Full };
        assert!(longest.wait(u32::MAX, &mut Wyrand::new(4)) <= Duration::MAX);
        let none = Backoff { base: Duration::ZERO, cap: Duration::ZERO, jitter: Jitter::Half };
        assert_eq!(none.wait(3, &mut Wyrand::new(4)), Duration::ZERO);
    }
}
