//! Consistent hashing by Maglev's lookup table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
//! Balancer", NSDI 2016, section 3.4): almost perfectly even, one memory access a lookup, few keys moved when an
//! endpoint leaves beyond those it had.

use crate::random::{mix, wide};
use crate::sampler::Member;
use crate::turns::Turns;

/// A prime; the paper's small table. 256 KiB.
const SLOTS: usize = 65_537;
const FREE: u32 = u32::MAX;
/// Slots that a key leads to before the table is searched.
const TRIES: usize = 8;

/// For each slot its owner's position in the list of endpoints. Members of less than a slot's weight own none.
#[derive(Debug)]
pub(crate) struct Maglev {
    slots: Box<[u32]>,
}

impl Maglev {
    pub(crate) fn new(members: &[Member]) -> Self {
        // The order of turns must not depend on the order of the list, which differs between proxies.
        let mut members: Vec<(u64, Member)> =
            members.iter().map(|member| (mix(member.hash), *member)).collect();
        members.sort_unstable_by_key(|&(identity, member)| (identity, member.index));
        if members.is_empty() {
            return Self { slots: Box::default() };
        }
        let mut wishes: Vec<Wishes> = members.iter().map(|&(identity, _)| Wishes::new(identity)).collect();
        let mut slots = vec![FREE; SLOTS];
        for position in Turns::new(members.iter().map(|(_, member)| member.weight)).take(SLOTS) {
            let wishes = &mut wishes[position];
            while slots[wishes.next] != FREE {
                wishes.advance();
            }
            slots[wishes.next] = members[position].1.index;
        }
        Self { slots: slots.into() }
    }

    /// The owner of the key's slot; if it is skipped, of another slot that the key always leads to.
    pub(crate) fn owner(&self, key: u64, skip: impl Fn(usize) -> bool) -> Option<usize> {
        let (mut key, mut slot) = (key, 0);
        // Hashed again, not the next slot: neighbours of one owner's slots are not evenly of all others.
        for _ in 0..TRIES {
            key = mix(key);
            slot = wide(key, self.slots.len() as u64).0 as usize;
            let owner = *self.slots.get(slot)? as usize;
            if !skip(owner) {
                return Some(owner);
            }
        }
        let (before, after) = self.slots.split_at(slot);
        after.iter().chain(before).map(|&index| index as usize).find(|&index| !skip(index))
    }
}

/// The slots in the order in which one member would like them: a permutation, as `SLOTS` is prime.
struct Wishes {
    next: usize,
    step: usize,
}

impl Wishes {
    fn new(identity: u64) -> Self {
        let (offset, _) = wide(mix(identity), SLOTS as u64);
        let (step, _) = wide(mix(!identity), SLOTS as u64 - 1);
        Self { next: offset as usize, step: step as usize + 1 }
    }

    fn advance(&mut self) {
        self.next = (self.next + self.step) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Vec<Member> {
        let member = |(i, &weight): (usize, &u32)| Member { index: i as u32, weight, hash: i as u64 };
        weights.iter().enumerate().map(member).collect()
    }

    fn owned(maglev: &Maglev, endpoints: usize) -> Vec<usize> {
        let mut owned = vec![0; endpoints];
        for &index in &maglev.slots {
            owned[index as usize] += 1;
        }
        owned
    }

    #[test]
    fn slots_are_shared_exactly_by_weight() {
        let owned = owned(&Maglev::new(&members(&[1, 2, 5])), 3);
        for (owned, weight) in owned.into_iter().zip([1.0, 2.0, 5.0]) {
            assert!((owned as f64 - SLOTS as f64 * weight / 8.0).abs() <= 1.0, "{owned} for {weight}");
        }
    }

    #[test]
    fn the_table_is_as_even_and_as_stable_as_the_paper_says() {
        for (count, most_to_mean, moved) in
            [(10, 1.0005, 0.003), (100, 1.0015, 0.007), (1_000, 1.0075, 0.007)]
        {
            let all = members(&vec![1; count]);
            let full = Maglev::new(&all);
            let most =
                owned(&full, count).into_iter().max().unwrap_or(0) as f64 * count as f64 / SLOTS as f64;
            let leaving = (0..count).step_by(count / 10);
            let extra: usize = leaving.map(|gone| moved_without_need(&full, &all, gone)).sum();
            let extra = extra as f64 / 10.0 / SLOTS as f64;
            println!("{count} endpoints: max/avg {most:.4}, moved without need {:.2} %", extra * 100.0);
            assert!(most <= most_to_mean && extra <= moved, "{count}: {most}, {extra}");
        }
    }

    /// Slots that change their owner when one member leaves, though their owner stays.
    fn moved_without_need(full: &Maglev, all: &[Member], gone: usize) -> usize {
        let rest: Vec<Member> = all.iter().filter(|member| member.index as usize != gone).copied().collect();
        let after = Maglev::new(&rest);
        let moved = |&(&before, &after): &(&u32, &u32)| before as usize != gone && before != after;
        full.slots.iter().zip(&after.slots).filter(moved).count()
    }

    #[test]
    fn the_table_does_not_depend_on_the_order_of_the_list() {
        let forwards = members(&[1, 2, 3, 4, 5]);
        let backwards: Vec<Member> = forwards.iter().rev().copied().collect();
        assert_eq!(Maglev::new(&forwards).slots, Maglev::new(&backwards).slots);
    }

    #[test]
    fn keys_of_a_skipped_owner_spread_over_all_others() {
        let maglev = Maglev::new(&members(&[1; 10]));
        let mut heirs = [0u32; 10];
        for key in 0..100_000 {
            let owner = maglev.owner(key, |_| false).unwrap();
            let other = maglev.owner(key, |index| index == 0).unwrap();
            assert!(owner == 0 || owner == other, "key {key}");
            if owner == 0 {
                heirs[other] += 1;
            }
        }
        assert!(heirs[0] == 0 && heirs[1..].iter().all(|&count| (950..1_280).contains(&count)), "{heirs:?}");
    }

    #[test]
    fn few_or_very_many_members_are_served() {
        assert_eq!(Maglev::new(&[]).owner(1, |_| false), None);
        assert_eq!(Maglev::new(&members(&[1])).owner(1, |_| false), Some(0));
        assert_eq!(Maglev::new(&members(&[1, 1])).owner(1, |_| true), None);
        let crowd = Maglev::new(&members(&vec![1; 3_000]));
        assert!(owned(&crowd, 3_000).iter().all(|owned| (21..=22).contains(owned)));
    }
}
