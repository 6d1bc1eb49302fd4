//! Worth: whether it pays to look decisions up before a filter is called.
//!
//! Where values repeat a lookup saves a call; where they do not - paths with numbers in them, tokens for one use - it
//! costs what it should save, and memory besides. So every filter's memory is on trial, on every worker: after
//! [`TRIAL`] lookups what they cost is held against the calls they saved. If they did not pay, decisions are neither
//! looked up nor kept for a while, which doubles with every failed trial up to [`LONGEST`] trials.

/// Lookups of a trial.
const TRIAL: u32 = 1024;
/// Trials that a rest is as long as, at the most: a change of the traffic is noticed within so many calls.
const LONGEST: u32 = 16;
/// Nanoseconds that a lookup takes, measured with views of 64 bytes.
const LOOKUP_NS: u64 = 80;
/// Nanoseconds that it takes to keep a decision, and to make room for it.
const KEEP_NS: u64 = 400;
/// What a call is taken for before one was timed.
const CALL_NS: u64 = 1_000;

/// What a memory's lookups came to.
#[derive(Debug)]
pub(super) struct Worth {
    lookups: u32,
    hits: u32,
    /// Calls until the next trial.
    resting: u32,
    /// Trials that the next rest is as long as.
    rest: u32,
    call_ns: u64,
}

impl Default for Worth {
    fn default() -> Self {
        Self { lookups: 0, hits: 0, resting: 0, rest: 1, call_ns: CALL_NS }
    }
}

impl Worth {
    /// Whether the next decision is to be looked up.
    #[inline]
    pub(super) fn looks(&mut self) -> bool {
        if self.resting == 0 {
            return true;
        }
        self.resting -= 1;
        false
    }

    /// One was looked up.
    #[inline]
    pub(super) fn looked(&mut self, found: bool) {
        self.lookups += 1;
        self.hits += u32::from(found);
        if self.lookups == TRIAL {
            self.judge();
        }
    }

    /// A call took so long. Follows the median, so that one that was interrupted does not count for much.
    pub(super) fn took(&mut self, nanos: u64) {
        let step = self.call_ns / 8 + 1;
        self.call_ns =
            if nanos > self.call_ns { self.call_ns + step } else { self.call_ns - step.min(self.call_ns) };
    }

    fn judge(&mut self) {
        let (lookups, hits) = (u64::from(self.lookups), u64::from(self.hits));
        if hits * self.call_ns < lookups * LOOKUP_NS + (lookups - hits) * KEEP_NS {
            self.resting = self.rest * TRIAL;
            self.rest = (self.rest * 2).min(LONGEST);
        } else {
            self.rest = 1;
        }
        (self.lookups, self.hits) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many calls looked, if one in `rare` of those finds something.
    fn looking(worth: &mut Worth, calls: u32, rare: u32) -> u32 {
        let mut looked = 0;
        for _ in 0..calls {
            if worth.looks() {
                looked += 1;
                worth.looked(rare > 0 && looked % rare == 0);
            }
        }
        looked
    }

    #[test]
    fn what_repeats_is_always_looked_up() {
        assert_eq!(looking(&mut Worth::default(), 100 * TRIAL, 1), 100 * TRIAL);
    }

    #[test]
    fn what_never_repeats_is_looked_up_less_and_less() {
        let mut worth = Worth::default();
        // Trials and rests: 1 1 1 2 1 4 1 8 1 16 1 16.
        assert_eq!(looking(&mut worth, 53 * TRIAL, 0), 6 * TRIAL);
        // The traffic changes, which the next trial shows.
        assert_eq!(looking(&mut worth, 20 * TRIAL, 1), 20 * TRIAL);
    }

    #[test]
    fn a_dear_call_is_worth_many_lookups() {
        let mut worth = Worth::default();
        assert_eq!(looking(&mut worth, 2 * TRIAL, 10), TRIAL);
        let mut worth = Worth::default();
        (0..100).for_each(|_| worth.took(50_000));
        assert_eq!(looking(&mut worth, 2 * TRIAL, 10), 2 * TRIAL);
    }

    #[test]
    fn an_interrupted_call_changes_little() {
        let mut worth = Worth::default();
        (0..100).for_each(|_| worth.took(300));
        worth.took(4_000_000);
        assert!((200..=400).contains(&worth.call_ns), "{}", worth.call_ns);
        (0..10_000).for_each(|_| worth.took(0));
        assert!(worth.call_ns <= 1);
    }
}
