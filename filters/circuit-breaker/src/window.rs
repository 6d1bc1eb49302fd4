//! Requests and failures of the last while, and failures in a row, counted by all workers together.
//!
//! The window is cut in slices, each one shared cell: the slice's mark, its counts, and the failures in
//! a row up to now. Counting is one `add`, whose answer says all there is to know after a success; only
//! the first to come in a slice, and failures, cost more.

use weir_sdk::state::Cell;

const SLICES: u64 = 10;
/// Tries of one change. So many lost in a row would mean that the cell is being hammered; then one
/// sample more or less does not matter.
const TRIES: u32 = 8;
/// From the lowest bit: requests (20), failures (20), failures in a row (7), mark (16). The sign bit
/// stays free.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const ROW_AT: u32 = 2 * COUNT_BITS;
const ROW_MASK: u64 = (1 << 7) - 1;
const MARK_AT: u32 = ROW_AT + 7;
const MARK_MASK: u64 = (1 << 16) - 1;
/// Further ones are not counted: nothing may carry into the bits above, and the share is known well.
const MOST_REQUESTS: u64 = COUNT_MASK - 100_000;
/// The same for failures in a row; above what config may ask for.
const MOST_IN_A_ROW: u64 = 110;

/// What is known after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) in_a_row: u64,
}

pub(crate) struct Window {
    cells: Vec<Cell>,
    slice_ms: u64,
    /// The slice this instance knows to have begun, and what its cell held last.
    begun: u64,
    held: u64,
}

impl Window {
    /// In `configure` only. Windows of other lengths count in other cells.
    pub(crate) fn new(name: &str, window_ms: u64) -> Self {
        let slice_ms = (window_ms / SLICES).max(1);
        let cells = (0..SLICES).map(|at| Cell::named(&format!("{name}/{slice_ms}/{at}"))).collect();
        Window { cells, slice_ms, begun: u64::MAX, held: 0 }
    }

    /// Counts an exchange that went well.
    pub(crate) fn succeeded(&mut self, now_ms: u64) {
        let slice = self.begin(now_ms);
        if requests(self.held) >= MOST_REQUESTS {
            return;
        }
        let mut held = self.add(slice, 1);
        for _ in 0..TRIES {
            if in_a_row(held) == 0 {
                break;
            }
            let broken = held & !(ROW_MASK << ROW_AT);
            match self.cell(slice).compare_exchange(held as i64, broken as i64) {
                Ok(()) => held = broken,
                Err(now) => held = now as u64,
            }
        }
        self.held = held;
    }

    /// Counts one that failed, and says what that makes.
    pub(crate) fn failed(&mut self, now_ms: u64) -> Totals {
        let slice = self.begin(now_ms);
        if requests(self.held) < MOST_REQUESTS {
            let row = u64::from(in_a_row(self.held) < MOST_IN_A_ROW) << ROW_AT;
            self.held = self.add(slice, row | 1 << COUNT_BITS | 1);
        }
        let (mut requests, mut failures) = (requests(self.held), failures(self.held));
        for back in 1..SLICES {
            let earlier = slice.wrapping_sub(back);
            let held = self.cell(earlier).load() as u64;
            if mark(held) == mark_of(earlier) {
                requests += held & COUNT_MASK;
                failures += held >> COUNT_BITS & COUNT_MASK;
            }
        }
        Totals { requests, failures, in_a_row: in_a_row(self.held) }
    }

    /// Forgets all counts; the slices stay begun.
    pub(crate) fn clear(&mut self) {
        for cell in &self.cells {
            let mut held = cell.load() as u64;
            for _ in 0..TRIES {
                match cell.compare_exchange(held as i64, (held & MARK_MASK << MARK_AT) as i64) {
                    Ok(()) => break,
                    Err(now) => held = now as u64,
                }
            }
        }
        self.held &= MARK_MASK << MARK_AT;
    }

    fn cell(&self, slice: u64) -> Cell {
        self.cells[(slice % SLICES) as usize]
    }

    fn add(&self, slice: u64, by: u64) -> u64 {
        self.cell(slice).add(by as i64) as u64
    }

    /// The slice of now, its cell made ready by whoever comes first.
    fn begin(&mut self, now_ms: u64) -> u64 {
        let slice = now_ms / self.slice_ms;
        if slice == self.begun {
            return slice;
        }
        let mut held = self.cell(slice).load() as u64;
        for _ in 0..TRIES {
            if mark(held) == mark_of(slice) && held != 0 {
                break;
            }
            let fresh = mark_of(slice) << MARK_AT | self.row_before(slice) << ROW_AT;
            match self.cell(slice).compare_exchange(held as i64, fresh as i64) {
                Ok(()) => held = fresh,
                Err(now) => held = now as u64,
            }
            if held == fresh {
                break;
            }
        }
        (self.begun, self.held) = (slice, held);
        slice
    }

    /// The failures in a row when the slice began: those of the latest slice before it, however long
    /// ago, since a row is broken by a success and not by silence.
    fn row_before(&self, slice: u64) -> u64 {
        let held = self.cells.iter().zip(0_u64..).map(|(cell, at)| (cell.load() as u64, at));
        let rows = held.filter(|(held, _)| *held != 0).map(|(held, at)| {
            let rounds = mark_of(slice).wrapping_sub(mark(held)) & MARK_MASK;
            let age = (rounds * SLICES + slice % SLICES).wrapping_sub(at);
            (age, in_a_row(held))
        });
        // What lies ahead of a clock that went back has an age beyond any other.
        rows.min_by_key(|(age, _)| *age).map_or(0, |(_, row)| row)
    }
}

/// A slice's number without what its place among the cells says.
fn mark_of(slice: u64) -> u64 {
    (slice / SLICES) & MARK_MASK
}

fn mark(held: u64) -> u64 {
    held >> MARK_AT & MARK_MASK
}

fn requests(held: u64) -> u64 {
    held & COUNT_MASK
}

fn failures(held: u64) -> u64 {
    held >> COUNT_BITS & COUNT_MASK
}

fn in_a_row(held: u64) -> u64 {
    held >> ROW_AT & ROW_MASK
}
