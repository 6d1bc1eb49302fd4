//! A bound on what is under way: connections, waiting exchanges, exchanges of a cluster. A rate is not its matter
//! (see [`Gcra`](crate::Gcra)), nor is waiting: whoever finds it full decides what to do.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts what is under way over all workers and refuses what is beyond the bound.
///
/// On cache lines of its own, as [`Load`](crate::Load) is: all workers write it, and what lies beside it they read.
#[derive(Debug)]
#[repr(align(128))]
pub struct Limit {
    current: AtomicU32,
    most: AtomicU32,
}

impl Limit {
    /// At most `most` at a time.
    pub fn new(most: u32) -> Self {
        Self { current: AtomicU32::new(0), most: AtomicU32::new(most) }
    }

    /// Counts one more, unless the bound is reached. Each success is followed by one [`release`](Self::release).
    #[must_use = "an acquired place must be released"]
    pub fn try_acquire(&self) -> bool {
        let most = self.most();
        self.current.fetch_update(Relaxed, Relaxed, |current| (current < most).then(|| current + 1)).is_ok()
    }

    /// Counts one less.
    pub fn release(&self) {
        let released = self.current.fetch_update(Relaxed, Relaxed, |current| current.checked_sub(1));
        debug_assert!(released.is_ok(), "a place was released that was never acquired");
    }

    /// How many are under way.
    pub fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    /// The bound.
    pub fn most(&self) -> u32 {
        self.most.load(Relaxed)
    }

    /// Changes the bound, as a reload does. What is beyond a lower one stays until it ends.
    pub fn set_most(&self, most: u32) {
        self.most.store(most, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_limit_refuses_until_one_is_released() {
        let limit = Limit::new(2);
        assert!(limit.try_acquire() && limit.try_acquire());
        assert!(!limit.try_acquire());
        limit.release();
        assert_eq!(limit.current(), 1);
        assert!(limit.try_acquire());
    }

    #[test]
    fn a_limit_of_none_admits_nothing() {
        assert!(!Limit::new(0).try_acquire());
    }

    #[test]
    fn a_lowered_bound_waits_for_what_is_under_way() {
        let limit = Limit::new(3);
        assert!((0..3).all(|_| limit.try_acquire()));
        limit.set_most(1);
        limit.release();
        limit.release();
        assert!(!limit.try_acquire());
        limit.release();
        assert!(limit.try_acquire());
    }

    #[test]
    fn workers_together_never_exceed_the_bound() {
        let limit = Limit::new(3);
        let highest = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if limit.try_acquire() {
                            highest.fetch_max(limit.current(), Relaxed);
                            limit.release();
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&highest.load(Relaxed)));
        assert_eq!(limit.current(), 0);
    }
}
