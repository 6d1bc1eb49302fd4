//! Consistent hashing on a ring (Karger et al., "Consistent Hashing and Random Trees", STOC 1997), with as many
//! points for an endpoint as ketama takes. Against [`Maglev`](crate::maglev): less even and slower to look up, but
//! an endpoint that leaves moves the keys it had and no others.

use crate::random::mix;
use crate::sampler::Member;

/// Points of an endpoint of mean weight, as in ketama.
const POINTS: usize = 160;
/// Points of a ring; beyond, endpoints have fewer. Each takes 12 bytes.
const MOST_POINTS: usize = 131_072;

/// Points in ascending order, each with its owner's position in the list of endpoints.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Box<[u64]>,
    owners: Box<[u32]>,
}

impl Ring {
    pub(crate) fn new(members: &[Member]) -> Self {
        let mut each = POINTS;
        while each > 1 && each * members.len() > MOST_POINTS {
            each /= 2; // by halves, so that one endpoint more or less seldom changes it
        }
        let sum: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
        let scale = (each * members.len()) as f64 / sum;
        let mut ring = Vec::with_capacity(each * members.len());
        for member in members {
            let points = (f64::from(member.weight) * scale).round().max(1.0) as u64;
            let identity = mix(member.hash);
            ring.extend((0..points).map(|k| (mix(identity.wrapping_add(k)), member.index)));
        }
        ring.sort_unstable();
        Self {
            points: ring.iter().map(|pair| pair.0).collect(),
            owners: ring.iter().map(|pair| pair.1).collect(),
        }
    }

    /// The owner of the first point at or after the key, going round, whose owner is not skipped.
    pub(crate) fn owner(&self, key: u64, skip: impl Fn(usize) -> bool) -> Option<usize> {
        let key = mix(key);
        let at = self.points.partition_point(|&point| point < key);
        let (before, after) = self.owners.split_at(at);
        after.iter().chain(before).map(|&index| index as usize).find(|&index| !skip(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(weights: &[u32]) -> Ring {
        let member = |(i, &weight): (usize, &u32)| Member { index: i as u32, weight, hash: i as u64 };
        Ring::new(&weights.iter().enumerate().map(member).collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let ring = ring(&[1, 2, 1]);
        let heavy = (0..100_000).filter(|&key| ring.owner(key, |_| false) == Some(1)).count();
        assert!((44_000..56_000).contains(&heavy), "{heavy}");
    }

    #[test]
    fn an_endpoint_that_leaves_moves_only_its_own_keys() {
        let (all, fewer) = (ring(&[1; 10]), ring(&[1; 9]));
        for key in 0..10_000 {
            let before = all.owner(key, |_| false).unwrap();
            let after = fewer.owner(key, |_| false).unwrap();
            assert!(before == 9 || before == after, "key {key}: {before} to {after}");
            assert_eq!(all.owner(key, |index| index == 9), Some(after), "skipping is like leaving");
        }
    }

    #[test]
    fn a_ring_is_bounded() {
        assert_eq!(ring(&[1; 100]).points.len(), 16_000);
        assert!(ring(&[1; 5_000]).points.len() <= MOST_POINTS);
        assert!(ring(&[u32::MAX, 1]).points.len() <= 2 * POINTS + 1);
        assert_eq!(ring(&[]).owner(1, |_| false), None);
        assert_eq!(ring(&[1, 1]).owner(1, |_| true), None);
    }
}
