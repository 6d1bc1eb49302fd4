//! Draws members of a list at random in proportion to their weights, in constant time: the alias method
//! (Walker 1977; Vose, "A Linear Algorithm For Generating Random Numbers With a Given Distribution", 1991).

use crate::Random;
use crate::random::wide;

/// Draws that may hit a skipped member before the rest is searched.
const TRIES: usize = 8;

/// An endpoint that may be picked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// Its position in the list of endpoints.
    pub(crate) index: u32,
    /// Above zero.
    pub(crate) weight: u32,
    /// Its identity.
    pub(crate) hash: u64,
}

/// Draws from fixed members.
#[derive(Debug)]
pub(crate) struct Sampler {
    members: Box<[Member]>,
    /// Absent if all weights are equal.
    cells: Option<Box<[Cell]>>,
    mean_weight: f64,
}

/// An equal share of all draws, split between two members.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The part of 2^64 that is the first's.
    split: u64,
    first: u32,
    second: u32,
}

impl Sampler {
    pub(crate) fn new(members: &[Member]) -> Self {
        let sum: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
        let even = members.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        Self {
            members: members.into(),
            cells: (!even).then(|| cells(members, sum)),
            mean_weight: sum / members.len().max(1) as f64,
        }
    }

    /// All members, in the order of the list.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// How much one attempt burdens an endpoint of this weight: 1 at the mean weight, half at twice the mean.
    pub(crate) fn burden(&self, weight: u32) -> f64 {
        if self.cells.is_none() { 1.0 } else { self.mean_weight / f64::from(weight.max(1)) }
    }

    /// Whether all weights are equal.
    pub(crate) fn even(&self) -> bool {
        self.cells.is_none()
    }

    /// The list position of a member that is not skipped; none if all are.
    pub(crate) fn draw(&self, random: &mut impl Random, skip: impl Fn(usize) -> bool) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        for _ in 0..TRIES {
            let index = self.draw_any(random);
            if !skip(index) {
                return Some(index);
            }
        }
        self.search(random, skip)
    }

    fn draw_any(&self, random: &mut impl Random) -> usize {
        let (position, rest) = wide(random.next(), self.members.len() as u64);
        let position = position as usize;
        let Some(cells) = &self.cells else { return self.members[position].index as usize };
        let cell = cells[position];
        let position = if rest < cell.split { cell.first } else { cell.second };
        self.members[position as usize].index as usize
    }

    /// The same distribution as drawing until one is not skipped, in linear time.
    fn search(&self, random: &mut impl Random, skip: impl Fn(usize) -> bool) -> Option<usize> {
        let left = || self.members.iter().filter(|member| !skip(member.index as usize));
        let sum: u64 = left().map(|member| u64::from(member.weight)).sum();
        let mut ticket = random.below(sum);
        for member in left() {
            match ticket.checked_sub(u64::from(member.weight)) {
                Some(rest) => ticket = rest,
                None => return Some(member.index as usize),
            }
        }
        None
    }
}

/// Fills each cell with one member that weighs too little for it and the excess of one that weighs too much.
fn cells(members: &[Member], sum: f64) -> Box<[Cell]> {
    let scale = members.len() as f64 / sum;
    let mut parts: Vec<f64> = members.iter().map(|member| f64::from(member.weight) * scale).collect();
    let (mut light, mut heavy): (Vec<usize>, Vec<usize>) = (0..parts.len()).partition(|&i| parts[i] < 1.0);
    let whole = |i: usize| Cell { split: u64::MAX, first: i as u32, second: i as u32 };
    let mut cells: Vec<Cell> = (0..parts.len()).map(whole).collect();
    while let (Some(&big), Some(small)) = (heavy.last(), light.pop()) {
        cells[small] =
            Cell { split: (parts[small] * 2f64.powi(64)) as u64, first: small as u32, second: big as u32 };
        parts[big] -= 1.0 - parts[small];
        if parts[big] < 1.0 {
            heavy.pop();
            light.push(big);
        }
    }
    cells.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wyrand;

    fn shares(weights: &[u32], skip: impl Fn(usize) -> bool + Copy) -> Vec<f64> {
        let member = |(index, &weight): (usize, &u32)| Member { index: index as u32, weight, hash: 0 };
        let sampler = Sampler::new(&weights.iter().enumerate().map(member).collect::<Vec<_>>());
        let mut random = Wyrand::new(5);
        let mut drawn = vec![0u32; weights.len()];
        for _ in 0..100_000 {
            drawn[sampler.draw(&mut random, skip).unwrap()] += 1;
        }
        drawn.into_iter().map(|count| f64::from(count) / 100_000.0).collect()
    }

    fn assert_near(shares: &[f64], expected: &[f64]) {
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() < 0.005, "seed 5: {shares:?}, not {expected:?}");
        }
    }

    #[test]
    fn members_are_drawn_by_weight() {
        assert_near(&shares(&[1, 2, 3, 4], |_| false), &[0.1, 0.2, 0.3, 0.4]);
        assert_near(&shares(&[7, 7], |_| false), &[0.5, 0.5]);
        assert_near(&shares(&[1, u32::MAX], |_| false), &[0.0, 1.0]);
    }

    #[test]
    fn skipping_the_heaviest_leaves_the_others_their_proportion() {
        assert_near(&shares(&[1, 1000, 3], |i| i == 1), &[0.25, 0.0, 0.75]);
    }

    #[test]
    fn nothing_is_drawn_where_all_are_skipped() {
        let one = Sampler::new(&[Member { index: 0, weight: 1, hash: 0 }]);
        assert_eq!(one.draw(&mut Wyrand::new(6), |_| true), None);
        assert_eq!(Sampler::new(&[]).draw(&mut Wyrand::new(6), |_| false), None);
    }
}
