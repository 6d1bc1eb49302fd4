//! Round robin for many workers at once: the order of turns is computed beforehand, so a pick is one addition to a
//! shared number. Exact over a round however workers interleave.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Random;
use crate::sampler::Member;
use crate::turns::Turns;

/// Turns in a round, unless there are very many members: then [`TURNS_PER_MEMBER`] for each.
const LONGEST_ROUND: u64 = 16_384;
const TURNS_PER_MEMBER: u64 = 16;

/// One round of turns, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// Positions in the list of endpoints.
    round: Box<[u32]>,
    turn: Turn,
}

/// On cache lines of its own: each pick writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Turn {
    next: AtomicU64,
    /// Where in the round the first pick fell, plus one; 0 before it. By chance, so that neither reloads nor many
    /// proxies started together send their first requests to the same endpoint.
    start: AtomicU64,
}

impl Rotation {
    pub(crate) fn new(members: &[Member]) -> Self {
        let weights = turns_per_round(members);
        let length = weights.iter().map(|&turns| turns as usize).sum();
        let round = Turns::new(weights.into_iter()).take(length).map(|position| members[position].index);
        Self { round: round.collect(), turn: Turn::default() }
    }

    /// The list position whose turn it is; if that is skipped, the next in the round that is not.
    pub(crate) fn next(&self, random: &mut impl Random, skip: impl Fn(usize) -> bool) -> Option<usize> {
        let length = self.round.len() as u64;
        if length == 0 {
            return None;
        }
        let turn = self.turn.next.fetch_add(1, Relaxed) % length;
        let at = ((turn + self.start(random, length)) % length) as usize;
        let (before, after) = self.round.split_at(at);
        after.iter().chain(before).map(|&index| index as usize).find(|&index| !skip(index))
    }

    fn start(&self, random: &mut impl Random, length: u64) -> u64 {
        let start = self.turn.start.load(Relaxed);
        if start != 0 {
            return start - 1;
        }
        let drawn = random.below(length) + 1;
        match self.turn.start.compare_exchange(0, drawn, Relaxed, Relaxed) {
            Ok(_) => drawn - 1,
            Err(other) => other - 1,
        }
    }
}

/// Weights in lowest terms; beyond the bound on a round, the nearest that fit, at least 1.
fn turns_per_round(members: &[Member]) -> Vec<u32> {
    let divisor = members.iter().fold(0, |divisor, member| gcd(divisor, member.weight)).max(1);
    let sum: u64 = members.iter().map(|member| u64::from(member.weight / divisor)).sum();
    let longest = LONGEST_ROUND.max(TURNS_PER_MEMBER * members.len() as u64);
    if sum <= longest {
        return members.iter().map(|member| member.weight / divisor).collect();
    }
    let scale = longest as f64 / (sum as f64 * f64::from(divisor));
    members.iter().map(|member| ((f64::from(member.weight) * scale).round() as u32).max(1)).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wyrand;

    fn rotation(weights: &[u32]) -> Rotation {
        let member = |(index, &weight): (usize, &u32)| Member { index: index as u32, weight, hash: 0 };
        Rotation::new(&weights.iter().enumerate().map(member).collect::<Vec<_>>())
    }

    fn turns(rotation: &Rotation, endpoints: usize, picks: usize) -> Vec<u32> {
        let mut random = Wyrand::new(8);
        let mut taken = vec![0; endpoints];
        for _ in 0..picks {
            taken[rotation.next(&mut random, |_| false).unwrap()] += 1;
        }
        taken
    }

    #[test]
    fn each_round_is_exact() {
        let rotation = rotation(&[100, 200, 700]);
        assert_eq!(rotation.round.len(), 10);
        for _ in 0..3 {
            assert_eq!(turns(&rotation, 3, 10), [1, 2, 7]);
        }
    }

    #[test]
    fn a_round_is_exact_over_all_workers() {
        let rotation = rotation(&[1, 2, 5]);
        let taken: Vec<Vec<u32>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| turns(&rotation, 3, 2_000))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        let of = |endpoint: usize| taken.iter().map(|worker| worker[endpoint]).sum::<u32>();
        assert_eq!([of(0), of(1), of(2)], [1_000, 2_000, 5_000]);
    }

    #[test]
    fn a_round_is_bounded_whatever_the_weights() {
        let skewed = rotation(&[u32::MAX, 1, u32::MAX - 1]);
        assert!(skewed.round.len() <= LONGEST_ROUND as usize + 3, "{}", skewed.round.len());
        assert!(skewed.round.contains(&1));
        let many = rotation(&(1..=5_000).collect::<Vec<_>>());
        assert!(many.round.len() <= 5_000 * (TURNS_PER_MEMBER as usize + 1), "{}", many.round.len());
    }

    #[test]
    fn a_skipped_turn_goes_to_the_next_in_the_round() {
        let rotation = rotation(&[1, 1, 1]);
        let mut random = Wyrand::new(9);
        for _ in 0..9 {
            assert_eq!(rotation.next(&mut random, |index| index != 2), Some(2));
        }
        assert_eq!(rotation.next(&mut random, |_| true), None);
    }
}
