//! Where numbers lie: one row of cells per worker, so that workers never share a cache line.
//!
//! A worker is the only writer of its row and therefore adds by load and store, without a locked
//! instruction. One more row is shared by all threads that are no worker; there adding is atomic.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Stands for a worker's number where there is none: the control threads.
pub const SHARED: usize = usize::MAX;

/// Cells of one cache line.
const PER_LINE: usize = 8;

#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; PER_LINE]);

/// The numbers of one labelled thing.
pub(super) struct Cells {
    workers: usize,
    lines_per_row: usize,
    lines: Box<[Line]>,
}

impl Cells {
    /// `width` cells, zero, for each worker and once more for the other threads.
    pub(super) fn new(workers: usize, width: usize) -> Arc<Self> {
        let lines_per_row = width.div_ceil(PER_LINE);
        let lines = (0..lines_per_row * (workers + 1)).map(|_| Line::default()).collect();
        Arc::new(Cells { workers, lines_per_row, lines })
    }

    /// Adds to a cell in the row of `worker`, which must be the calling thread's own number or [`SHARED`].
    /// Wraps, so that a gauge goes down by adding a negative number.
    #[inline]
    pub(super) fn add(&self, worker: usize, cell: usize, by: u64) {
        let at = self.cell(worker, cell);
        if worker < self.workers {
            at.store(at.load(Relaxed).wrapping_add(by), Relaxed);
        } else {
            at.fetch_add(by, Relaxed);
        }
    }

    /// Sets a cell in the row of `worker`.
    pub(super) fn set(&self, worker: usize, cell: usize, to: u64) {
        self.cell(worker, cell).store(to, Relaxed);
    }

    /// The sum of a cell over all rows.
    pub(super) fn sum(&self, cell: usize) -> u64 {
        (0..=self.workers).map(|row| self.cell(row, cell).load(Relaxed)).fold(0, u64::wrapping_add)
    }

    #[inline]
    fn cell(&self, worker: usize, cell: usize) -> &AtomicU64 {
        let row = worker.min(self.workers);
        let line = &self.lines[row * self.lines_per_row + cell / PER_LINE];
        &line.0[cell % PER_LINE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_on_cache_lines_of_their_own() {
        let cells = Cells::new(3, 9);
        let first = std::ptr::from_ref(cells.cell(0, 8)) as usize;
        let second = std::ptr::from_ref(cells.cell(1, 0)) as usize;
        assert_eq!(second % 64, 0);
        assert_ne!(first / 64, second / 64);
    }

    #[test]
    fn what_all_threads_add_is_all_there() {
        let cells = Cells::new(2, 3);
        std::thread::scope(|scope| {
            for worker in [0, 1, SHARED, SHARED] {
                let cells = &cells;
                scope.spawn(move || (0..10_000).for_each(|_| cells.add(worker, 2, 1)));
            }
        });
        assert_eq!(cells.sum(2), 40_000);
        assert_eq!((cells.sum(0), cells.sum(1)), (0, 0));
    }

    #[test]
    fn what_goes_up_on_one_worker_may_come_down_on_another() {
        let cells = Cells::new(2, 1);
        cells.add(0, 0, 1);
        cells.add(1, 0, 1u64.wrapping_neg());
        assert_eq!(cells.sum(0), 0);
    }
}
