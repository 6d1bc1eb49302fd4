//! In which order weighted members take turns: earliest deadline first. Member `i` is due for its `k`-th turn at
//! `(k + 1/2) / weight`, so that turns of the light lie spread among those of the heavy (the apportionment of Webster
//! and Sainte-Laguë, step by step). Among n members none is ever further than (n + 1) / 2 turns from its share, and
//! after as many turns as the weights sum to each has had exactly its weight.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Positions of members, for ever. Ends at once if there are none.
pub(crate) struct Turns {
    due: BinaryHeap<Reverse<Turn>>,
}

impl Turns {
    /// `weights` are above zero.
    pub(crate) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let first = |(position, weight)| Reverse(Turn { halves: 1, weight: u64::from(weight), position });
        Self { due: weights.enumerate().map(first).collect() }
    }
}

impl Iterator for Turns {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut turn = self.due.peek_mut()?;
        turn.0.halves += 2;
        Some(turn.0.position)
    }
}

/// The next turn of one member.
struct Turn {
    /// Twice its deadline, times the weight.
    halves: u64,
    weight: u64,
    position: usize,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, others) = (self.halves * other.weight, other.halves * self.weight);
        mine.cmp(&others).then(self.position.cmp(&other.position))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_take_turns_in_order() {
        assert_eq!(Turns::new([3, 3, 3].into_iter()).take(7).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(Turns::new([].into_iter()).next(), None);
    }

    #[test]
    fn turns_of_the_heavy_are_spread_out() {
        assert_eq!(Turns::new([5, 1, 1].into_iter()).take(7).collect::<Vec<_>>(), [0, 0, 0, 1, 2, 0, 0]);
        assert_eq!(Turns::new([3, 2].into_iter()).take(5).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn after_any_number_of_turns_each_is_near_its_share() {
        let weights = [1u32, 7, 20, 100, 3];
        let sum = f64::from(weights.iter().sum::<u32>());
        let mut taken = [0u32; 5];
        for (turn, position) in (1..=1000).zip(Turns::new(weights.into_iter())) {
            taken[position] += 1;
            for (&had, weight) in taken.iter().zip(weights) {
                let share = f64::from(turn) * f64::from(weight) / sum;
                assert!((f64::from(had) - share).abs() <= 3.0, "turn {turn}: {taken:?}");
            }
            if turn % 131 == 0 {
                assert_eq!(taken, weights.map(|weight| weight * turn / 131));
            }
        }
    }
}
