//! Decision memory: what a filter answered to a view, for as long as it said that holds.
//!
//! One per worker and filter generation; bounded in entries and in bytes; keyed by the view's bytes, which
//! are compared whole, under a hash that callers cannot predict.

use std::{hash::BuildHasher, rc::Rc};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use weir_runtime::{Decision, View};

use super::worth::Worth;
use crate::clock::Nanos;

/// Views longer than this are not worth remembering.
const VIEW_LARGEST: usize = 16 * 1024;
/// Bytes of views per worker and filter.
const BYTES: usize = 4 * 1024 * 1024;

/// Remembered decisions of one filter.
#[derive(Debug)]
pub struct DecisionMemory {
    table: HashTable<Entry>,
    state: RandomState,
    entries: usize,
    bytes: usize,
    worth: Worth,
}

/// What memory says of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// This was decided, and still holds.
    Known(Rc<Decision>),
    /// Nothing.
    Unknown,
    /// It was not asked: it knew too little lately.
    Unasked,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    at: Box<[u32]>,
    view: Box<[u8]>,
    decision: Rc<Decision>,
    until: Nanos,
}

impl DecisionMemory {
    /// For at most `entries` decisions; 0 remembers nothing.
    pub fn new(entries: usize) -> Self {
        Self {
            table: HashTable::new(),
            state: RandomState::default(),
            entries,
            bytes: 0,
            worth: Worth::default(),
        }
    }

    /// The decision for an equal view that still holds.
    pub fn recall(&mut self, view: &View, now: Nanos) -> Recalled {
        if !self.worth.looks() {
            return Recalled::Unasked;
        }
        if self.table.is_empty() {
            return Recalled::Unknown;
        }
        let hash = self.hash(view);
        let entry = self.table.find(hash, |e| e.is(hash, view)).filter(|e| e.until > now);
        self.worth.looked(entry.is_some());
        entry.map_or(Recalled::Unknown, |entry| Recalled::Known(Rc::clone(&entry.decision)))
    }

    /// Takes note of how long a call took that nothing was known for.
    pub fn took(&mut self, nanos: u64) {
        self.worth.took(nanos);
    }

    /// Remembers a decision until then. The oldest knowledge gives way when there is no room.
    pub fn keep(&mut self, view: &View, decision: Rc<Decision>, until: Nanos, now: Nanos) {
        if self.entries == 0 || view.bytes.len() > VIEW_LARGEST {
            return;
        }
        let hash = self.hash(view);
        if let Some(entry) = self.table.find_mut(hash, |e| e.is(hash, view)) {
            entry.decision = decision;
            entry.until = until;
            return;
        }
        if self.table.len() >= self.entries || self.bytes + view.bytes.len() > BYTES {
            self.make_room(now);
        }
        self.bytes += view.bytes.len();
        let (at, view) = (view.at.as_slice().into(), view.bytes.as_slice().into());
        self.table.insert_unique(hash, Entry { hash, at, view, decision, until }, |e| e.hash);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.table = HashTable::new();
        self.bytes = 0;
    }

    /// How many decisions are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn hash(&self, view: &View) -> u64 {
        // The offsets are compared, not hashed: views that differ in them alone are rare.
        self.state.hash_one(view.bytes.as_slice())
    }

    /// Drops what has expired, and if that is not an eighth, what would expire first.
    fn make_room(&mut self, now: Nanos) {
        let before = self.table.len();
        self.table.retain(|e| e.until > now);
        if before - self.table.len() < before / 8 {
            let mut ends: Vec<Nanos> = self.table.iter().map(|e| e.until).collect();
            let eighth = ends.len() / 8;
            let (_, &mut limit, _) = ends.select_nth_unstable(eighth);
            let mut go = eighth + 1;
            self.table.retain(|e| {
                let stays = go == 0 || e.until > limit;
                go -= usize::from(!stays);
                stays
            });
        }
        self.bytes = self.table.iter().map(|e| e.view.len()).sum();
    }
}

impl Entry {
    fn is(&self, hash: u64, view: &View) -> bool {
        self.hash == hash && *self.view == *view.bytes && *self.at == *view.at
    }
}

#[cfg(test)]
mod tests {
    use weir_runtime::Passage;

    use super::*;

    fn view(text: &str) -> View {
        let mut view = View::new();
        view.push(Some(text.as_bytes()));
        view
    }

    fn decision(memo: u64) -> Rc<Decision> {
        Rc::new(Decision::Pass(Passage { memo, ..Passage::default() }))
    }

    #[test]
    fn what_was_kept_is_recalled_until_it_expires() {
        let mut memory = DecisionMemory::new(8);
        memory.keep(&view("a"), decision(1), 100, 0);
        assert_eq!(memory.recall(&view("a"), 99), Recalled::Known(decision(1)));
        assert_eq!(memory.recall(&view("a"), 100), Recalled::Unknown);
        assert_eq!(memory.recall(&view("b"), 0), Recalled::Unknown);
    }

    #[test]
    fn views_with_equal_bytes_and_other_bounds_are_different() {
        let (mut one, mut two) = (View::new(), View::new());
        one.push(Some(b"ab"));
        one.push(Some(b"c"));
        two.push(Some(b"a"));
        two.push(Some(b"bc"));
        let mut memory = DecisionMemory::new(8);
        memory.keep(&one, decision(1), 100, 0);
        assert_eq!(memory.recall(&two, 0), Recalled::Unknown);
    }

    #[test]
    fn it_never_holds_more_than_its_bound_and_the_newest_stays() {
        let mut memory = DecisionMemory::new(100);
        for i in 0..10_000u64 {
            memory.keep(&view(&i.to_string()), decision(i), 1_000_000 + i, i);
            assert!(memory.len() <= 100);
            assert_eq!(memory.recall(&view(&i.to_string()), i), Recalled::Known(decision(i)));
        }
        assert!(memory.len() > 80);
    }

    #[test]
    fn equal_ends_do_not_empty_it() {
        let mut memory = DecisionMemory::new(64);
        for i in 0..1_000u64 {
            memory.keep(&view(&i.to_string()), decision(i), 5_000, 0);
        }
        assert!(memory.len() > 48 && memory.len() <= 64, "{}", memory.len());
    }

    #[test]
    fn what_never_comes_again_is_not_kept_for_long() {
        let mut memory = DecisionMemory::new(4096);
        let mut kept = 0;
        for i in 0..10_000u64 {
            if memory.recall(&view(&i.to_string()), i) == Recalled::Unknown {
                memory.keep(&view(&i.to_string()), decision(i), u64::MAX, i);
                kept += 1;
            }
        }
        assert!((1_000..5_000).contains(&kept), "{kept}");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut memory = DecisionMemory::new(1_000_000);
        for i in 0..2_000 {
            memory.keep(&view(&format!("{i:>8000}")), decision(1), 1_000 + i, 0);
        }
        assert!(memory.bytes <= BYTES && memory.len() > 300);
    }
}
