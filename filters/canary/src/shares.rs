//! Which version an exchange gets, given each version's share.
//!
//! Callers that stick are placed by weighted rendezvous hashing (Schindelhauer and Schomaker 2005,
//! "Weighted distributed hash tables", the logarithmic method): each version draws a number from
//! caller and version, scaled by its share, and the smallest wins. When a version's share grows, its
//! numbers shrink and no other's do, so whoever has it keeps it; no table, no memory, no order.

/// Shares of 1, one per version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares(Vec<f64>);

impl Shares {
    /// Weights in any unit. Their sum is above 0.
    pub(crate) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.collect();
        let total: f64 = weights.iter().sum();
        Shares(weights.into_iter().map(|weight| weight / total).collect())
    }

    /// The share of a version.
    pub(crate) fn of(&self, version: usize) -> f64 {
        self.0[version]
    }

    /// The same with another share for one version; the others divide the rest as before.
    pub(crate) fn with(&self, version: usize, share: f64) -> Self {
        let others = self.0.iter().enumerate().filter(|(at, _)| *at != version);
        let total: f64 = others.map(|(_, share)| share).sum();
        let rest = (1.0 - share) / total;
        let share_of = |(at, old): (usize, &f64)| if at == version { share } else { old * rest };
        Shares(self.0.iter().enumerate().map(share_of).collect())
    }

    /// The version of a random number.
    pub(crate) fn by_point(&self, random: u64) -> usize {
        let mut left = unit(random);
        for (at, share) in self.0.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return at;
            }
        }
        // The sum fell short of 1 by rounding.
        self.0.iter().rposition(|share| *share > 0.0).unwrap_or_default()
    }

    /// The version of a caller, given a seed per version.
    pub(crate) fn by_key(&self, caller: u64, seeds: impl Iterator<Item = u64>) -> usize {
        let draws = self.0.iter().zip(seeds).enumerate().filter(|(_, (share, _))| **share > 0.0);
        let scaled = draws.map(|(at, (share, seed))| (at, -(1.0 - unit(mix(caller ^ seed))).ln() / share));
        scaled.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(at, _)| at).unwrap_or_default()
    }
}

/// Makes what one cluster's canary does independent of another's, or the same callers would be the
/// first for every new version there is.
pub(crate) fn seed(cluster: &str, version: &str) -> u64 {
    mix(hash(cluster.as_bytes()).rotate_left(32) ^ hash(version.as_bytes()))
}

/// FNV-1a (RFC 9923), then mixed: the same in every build and on every machine, so that callers keep
/// their version when the proxy is replaced.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// In [0, 1), of the 53 bits that a float has.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 100_000;

    /// Weights to try: even, odd, tiny, none, many.
    const WEIGHTS: [&[f64]; 7] = [
        &[1.0],
        &[90.0, 10.0],
        &[999.0, 1.0],
        &[1.0, 1.0, 1.0],
        &[0.0, 3.0, 0.0, 5.0],
        &[0.5, 0.3, 0.15, 0.05],
        &[7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 51.0],
    ];

    fn seeds(count: usize, salt: u64) -> Vec<u64> {
        (0..count).map(|at| seed(&format!("cluster-{salt}"), &format!("v{at}"))).collect()
    }

    /// Within five standard deviations of what the shares promise.
    fn assert_follows(counts: &[u64], shares: &Shares, what: &str) {
        for (at, count) in counts.iter().enumerate() {
            let share = shares.of(at);
            let slack = 5.0 * (KEYS as f64 * share * (1.0 - share)).sqrt();
            let expected = KEYS as f64 * share;
            assert!((*count as f64 - expected).abs() <= slack, "{what}: {counts:?} for {shares:?}");
        }
    }

    #[test]
    fn both_choices_follow_the_shares() {
        for (salt, weights) in WEIGHTS.iter().enumerate() {
            let shares = Shares::new(weights.iter().copied());
            let seeds = seeds(weights.len(), salt as u64);
            let (mut by_point, mut by_key) = (vec![0; weights.len()], vec![0; weights.len()]);
            for key in 0..KEYS {
                let random = hash(format!("random {salt} {key}").as_bytes());
                by_point[shares.by_point(random)] += 1;
                let caller = hash(format!("user-{key}").as_bytes());
                by_key[shares.by_key(caller, seeds.iter().copied())] += 1;
            }
            assert_follows(&by_point, &shares, &format!("at random, weights {salt}"));
            assert_follows(&by_key, &shares, &format!("by caller, weights {salt}"));
        }
    }

    #[test]
    fn whoever_has_a_version_keeps_it_while_its_share_grows() {
        for salt in 0..5 {
            let configured = Shares::new([50.0, 30.0, 20.0].into_iter());
            let seeds = seeds(3, salt);
            for caller in (0..2_000_u64).map(|key| hash(&key.to_le_bytes())) {
                let mut before = None;
                for share in [0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0] {
                    let version = configured.with(2, share).by_key(caller, seeds.iter().copied());
                    let stays = match before {
                        None => version != 2,
                        Some(before) => version == before || version == 2,
                    };
                    assert!(stays, "salt {salt}, caller {caller}: {before:?} became {version} at {share}");
                    before = Some(version);
                }
                assert_eq!(before, Some(2), "salt {salt}, caller {caller}");
            }
        }
    }

    #[test]
    fn two_clusters_choose_their_callers_independently() {
        let shares = Shares::new([9.0, 1.0].into_iter());
        let (one, other) = (seeds(2, 1), seeds(2, 2));
        let canary = |caller, seeds: &[u64]| shares.by_key(caller, seeds.iter().copied()) == 1;
        let callers = (0..KEYS).map(|key| hash(&key.to_le_bytes()));
        let both = callers.filter(|caller| canary(*caller, &one) && canary(*caller, &other)).count();
        // A tenth of a tenth, within five standard deviations.
        assert!((both as f64 - 1_000.0).abs() < 5.0 * 1_000_f64.sqrt(), "{both}");
    }

    #[test]
    fn a_version_without_a_share_is_never_chosen() {
        let shares = Shares::new([1.0, 1.0, 0.0].into_iter()).with(1, 0.0);
        assert_eq!(shares, Shares(vec![1.0, 0.0, 0.0]));
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(shares.by_point(random), 0);
            assert_eq!(shares.by_key(random, [1, 2, 3].into_iter()), 0);
        }
    }

    /// Another hash would move every caller to another version when the proxy is replaced.
    #[test]
    fn the_hash_stays_as_it_is() {
        assert_eq!(hash(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash(b"a"), mix(0xaf63_dc4c_8601_ec8c));
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
    }
}
