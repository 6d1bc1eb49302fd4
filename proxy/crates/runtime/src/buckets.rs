//! Rate limits by name, each with one token bucket per key, shared by filters and workers.
//!
//! Keys come from strangers (addresses, tokens), so their number is bounded in a way nobody can make
//! expensive: buckets lie in sets of eight, a key's hash picks the set, and a new key in a full set takes
//! the place of the bucket that is nearest to full - the one whose loss forgives least. The hash is
//! keyed by a secret of the process.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use weir_balance::Gcra;

const SLOTS: usize = 8;
/// Eight buckets in each: 65,536 keys per limit, 1.1 MiB once it is used.
const SETS: usize = 8192;

/// One limit, as config names it.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketSettings {
    /// What filters call it.
    pub name: Arc<str>,
    /// Tokens a bucket regains each second.
    pub per_second: f64,
    /// Tokens a full bucket holds.
    pub burst: u32,
}

/// All rate limits of a configuration.
#[derive(Default)]
pub struct Buckets {
    limits: Vec<Arc<Limit>>,
}

struct Limit {
    settings: BucketSettings,
    hash: RandomState,
    /// Made when the first token is taken.
    sets: OnceLock<Box<[Mutex<[Slot; SLOTS]>]>>,
}

#[derive(Default)]
struct Slot {
    /// 0: nobody's.
    key: u64,
    bucket: Gcra,
}

impl Buckets {
    /// Full buckets for everybody.
    pub fn new(settings: impl IntoIterator<Item = BucketSettings>) -> Self {
        Self { limits: settings.into_iter().map(|s| Arc::new(Limit::new(s))).collect() }
    }

    /// For a new configuration: a limit that did not change keeps its buckets.
    #[must_use]
    pub fn renewed(&self, settings: impl IntoIterator<Item = BucketSettings>) -> Self {
        let kept = |settings: BucketSettings| {
            let same = self.limits.iter().find(|limit| limit.settings == settings);
            same.map_or_else(|| Arc::new(Limit::new(settings)), Arc::clone)
        };
        Self { limits: settings.into_iter().map(kept).collect() }
    }

    /// The position of a limit.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let position = self.limits.iter().position(|limit| &*limit.settings.name == name)?;
        u32::try_from(position).ok()
    }

    /// Takes tokens from the bucket of a key: 0, or the milliseconds until it could be done
    /// (`u32::MAX`: never). `None` if there is no such limit.
    pub(crate) fn take(&self, limit: u32, key: &str, cost: u32, now_ns: u64) -> Option<u32> {
        let limit = self.limits.get(limit as usize)?;
        Some(limit.take(key, cost, now_ns).map_or_else(whole_ms, |()| 0))
    }
}

impl Limit {
    fn new(settings: BucketSettings) -> Self {
        Self { settings, hash: RandomState::new(), sets: OnceLock::new() }
    }

    fn take(&self, key: &str, cost: u32, now_ns: u64) -> Result<(), Duration> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        let key = self.hash.hash_one(key).max(1);
        let index = usize::try_from(key % sets.len() as u64).unwrap_or_default();
        let mut set = sets[index].lock().unwrap_or_else(PoisonError::into_inner);
        let place = set.iter().position(|slot| slot.key == key).unwrap_or_else(|| {
            let nearest_to_full =
                |slot: &Slot| if slot.key == 0 { Duration::ZERO } else { slot.bucket.full_in(now_ns) };
            let oldest = (0..SLOTS).min_by_key(|&i| nearest_to_full(&set[i])).unwrap_or_default();
            set[oldest] = Slot { key, bucket: Gcra::new() };
            oldest
        });
        set[place].bucket.take(now_ns, cost, self.settings.per_second, self.settings.burst)
    }
}

/// Rounded up, so that whoever waits so long will not be refused for a fraction; never 0.
fn whole_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limit(name: &str, per_second: f64, burst: u32) -> BucketSettings {
        BucketSettings { name: name.into(), per_second, burst }
    }

    #[test]
    fn each_key_has_its_own_bucket() {
        let buckets = Buckets::new([limit("slow", 1.0, 2), limit("fast", 10.0, 1)]);
        let (slow, fast) = (buckets.find("slow").unwrap(), buckets.find("fast").unwrap());
        let take = |which, key, now| buckets.take(which, key, 1, now);
        assert_eq!(
            [take(slow, "a", 0), take(slow, "a", 0), take(slow, "a", 0)],
            [Some(0), Some(0), Some(1000)]
        );
        assert_eq!(take(slow, "b", 0), Some(0));
        assert_eq!([take(fast, "a", 0), take(fast, "a", 1)], [Some(0), Some(100)]);
        assert_eq!(take(slow, "a", SECOND), Some(0));
        assert_eq!(buckets.take(slow, "a", 3, 9 * SECOND), Some(u32::MAX));
        assert_eq!((buckets.find("none"), take(7, "a", 0)), (None, None));
    }

    #[test]
    fn a_flood_of_keys_neither_grows_nor_frees_a_busy_bucket_first() {
        let buckets = Buckets::new([limit("slow", 0.001, 100)]);
        assert_eq!(buckets.take(0, "busy", 100, 0), Some(0));
        for i in 0..200_000 {
            assert_eq!(buckets.take(0, &i.to_string(), 1, SECOND), Some(0), "{i}");
        }
        assert!(buckets.take(0, "busy", 1, SECOND).unwrap() > 0);
    }

    #[test]
    fn an_unchanged_limit_keeps_its_buckets() {
        let old = Buckets::new([limit("same", 1.0, 1), limit("changed", 1.0, 1)]);
        for which in [0, 1] {
            assert_eq!(old.take(which, "a", 1, 0), Some(0));
        }
        let new = old.renewed([limit("changed", 2.0, 1), limit("same", 1.0, 1)]);
        assert_eq!(new.take(new.find("changed").unwrap(), "a", 1, 0), Some(0));
        assert_eq!(new.take(new.find("same").unwrap(), "a", 1, 0), Some(1000));
    }
}
