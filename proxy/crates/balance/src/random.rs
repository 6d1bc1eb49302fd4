//! The source of chance. It is an argument everywhere, so that a simulation can be replayed from its seed and each
//! worker can own a generator without a lock.

/// A source of uniformly distributed 64-bit numbers. It need not withstand an adversary.
pub trait Random {
    /// The next number.
    fn next(&mut self) -> u64;

    /// A number in `0..bound`; 0 if `bound` is 0. Its bias is below 2^-32 for bounds below 2^32
    /// (multiply and shift: Lemire, "Fast Random Integer Generation in an Interval", 2019).
    fn below(&mut self, bound: u64) -> u64 {
        wide(self.next(), bound).0
    }

    /// A number in `[0, 1)`, in steps of 2^-53.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// Wang Yi's wyrand: 64 bits of state, one multiplication a number, passes BigCrush and PractRand.
#[derive(Debug, Clone)]
pub struct Wyrand {
    state: u64,
}

impl Wyrand {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Random for Wyrand {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0xa076_1d64_78bd_642f);
        let (high, low) = wide(self.state, self.state ^ 0xe703_7ed1_a0b4_28db);
        high ^ low
    }
}

/// Both halves, high and low, of a product.
pub(crate) fn wide(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    ((product >> 64) as u64, product as u64)
}

/// Spreads a key over all 64 bits (the finaliser of SplitMix64, a bijection). Keys and identities come from
/// outside and may be consecutive numbers; consistent hashing wants them to look random.
pub(crate) fn mix(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound_and_spread_evenly() {
        let mut random = Wyrand::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (9_600..10_400).contains(&count)), "seed 1: {seen:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn unit_numbers_fill_the_interval() {
        let mut random = Wyrand::new(2);
        let numbers: Vec<f64> = (0..100_000).map(|_| random.unit()).collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        assert!((mean - 0.5).abs() < 0.005, "seed 2: {mean}");
    }

    #[test]
    fn a_seed_replays_its_sequence() {
        let draw = |seed| {
            let mut random = Wyrand::new(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
