//! The kinds of number: counters, gauges, seconds and histograms over cells.
//!
//! An instrument knows where its cells begin and how many there are; nothing else. What a number is called
//! stands in [`super::families`], how it is written in [`super::render`].

use super::{cells::Cells, labels::Label};
use std::{marker::PhantomData, sync::Arc};

/// A family of metrics: what a scrape shows under one name.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// How its cells are written.
    pub kind: Kind,
    /// The label that tells its cells apart and its values, beside the label of the thing they belong to.
    pub label: Option<(&'static str, &'static [&'static str])>,
}

impl Family {
    /// Cells of the family for one thing.
    pub(super) const fn width(&self) -> usize {
        let each = match self.kind {
            Kind::Histogram => BOUNDS_NS.len() + 2,
            _ => 1,
        };
        match self.label {
            Some((_, values)) => each * values.len(),
            None => each,
        }
    }
}

/// How the cells of a family are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// A counter kept in nanoseconds and written in seconds.
    Seconds,
    /// Goes up and down.
    Gauge,
    /// Durations, kept in nanoseconds and written in seconds.
    Histogram,
}

/// Upper bounds of a histogram's buckets: 100 us to 30 s, three for each factor of ten.
pub(super) const BOUNDS_NS: [u64; 17] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Something that counts, laid over cells.
pub(super) trait Instrument {
    const KIND: Kind;
    const LABEL: Option<(&'static str, &'static [&'static str])>;

    fn over(cells: &Arc<Cells>, first: usize) -> Self;
}

/// A number that only goes up.
pub struct Counter {
    cells: Arc<Cells>,
    cell: usize,
}

impl Counter {
    /// Adds on behalf of a worker: the calling thread's own number, or [`super::SHARED`].
    #[inline]
    pub fn add(&self, worker: usize, by: u64) {
        self.cells.add(worker, self.cell, by);
    }

    /// Adds one.
    #[inline]
    pub fn one(&self, worker: usize) {
        self.add(worker, 1);
    }

    /// What was counted by all workers.
    pub fn sum(&self) -> u64 {
        self.cells.sum(self.cell)
    }
}

/// Numbers that only go up, one for each value of a label.
pub struct Counters<L> {
    cells: Arc<Cells>,
    first: usize,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    /// Adds one for a value of the label.
    #[inline]
    pub fn one(&self, worker: usize, label: L) {
        self.add(worker, label, 1);
    }

    /// Adds for a value of the label.
    #[inline]
    pub fn add(&self, worker: usize, label: L, by: u64) {
        self.cells.add(worker, self.first + label.position(), by);
    }

    /// What was counted for a value of the label by all workers.
    pub fn sum(&self, label: L) -> u64 {
        self.cells.sum(self.first + label.position())
    }
}

/// Time spent, kept in nanoseconds.
pub struct Seconds {
    cells: Arc<Cells>,
    cell: usize,
}

impl Seconds {
    /// Adds a span of time.
    #[inline]
    pub fn add_ns(&self, worker: usize, nanos: u64) {
        self.cells.add(worker, self.cell, nanos);
    }

    /// Nanoseconds counted by all workers.
    pub fn sum_ns(&self) -> u64 {
        self.cells.sum(self.cell)
    }
}

/// A number that goes up and down. Workers may raise it on one and lower it on another.
pub struct Gauge {
    cells: Arc<Cells>,
    cell: usize,
}

impl Gauge {
    /// One more.
    #[inline]
    pub fn up(&self, worker: usize) {
        self.cells.add(worker, self.cell, 1);
    }

    /// One less.
    #[inline]
    pub fn down(&self, worker: usize) {
        self.cells.add(worker, self.cell, u64::MAX);
    }

    /// Moves it by a difference, which may be negative.
    #[inline]
    pub fn shift(&self, worker: usize, by: i64) {
        self.cells.add(worker, self.cell, by as u64);
    }

    /// Sets this worker's share of the number; the shares are added up.
    pub fn set(&self, worker: usize, to: u64) {
        self.cells.set(worker, self.cell, to);
    }

    /// The number now. A scrape between a step up and a step down on two workers may see it below zero,
    /// which reads as zero.
    pub fn sum(&self) -> u64 {
        not_below_zero(self.cells.sum(self.cell))
    }
}

/// The sum of a gauge's cells as a number.
pub(super) fn not_below_zero(sum: u64) -> u64 {
    if sum > i64::MAX as u64 { 0 } else { sum }
}

/// How durations are spread: a cell for each bucket, one for what is longer, one for their sum.
pub struct Histogram {
    cells: Arc<Cells>,
    first: usize,
}

impl Histogram {
    /// Counts a duration.
    #[inline]
    pub fn observe_ns(&self, worker: usize, nanos: u64) {
        let bucket = BOUNDS_NS.partition_point(|&bound| bound < nanos);
        self.cells.add(worker, self.first + bucket, 1);
        self.cells.add(worker, self.first + BOUNDS_NS.len() + 1, nanos);
    }

    /// Durations counted.
    pub fn count(&self) -> u64 {
        (0..=BOUNDS_NS.len()).map(|bucket| self.cells.sum(self.first + bucket)).sum()
    }

    /// Their sum in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.cells.sum(self.first + BOUNDS_NS.len() + 1)
    }
}

macro_rules! over_one_cell {
    ($($instrument:ident is $kind:ident),*) => {$(
        impl Instrument for $instrument {
            const KIND: Kind = Kind::$kind;
            const LABEL: Option<(&'static str, &'static [&'static str])> = None;

            fn over(cells: &Arc<Cells>, first: usize) -> Self {
                $instrument { cells: cells.clone(), cell: first }
            }
        }
    )*};
}

over_one_cell!(Counter is Counter, Seconds is Seconds, Gauge is Gauge);

impl<L: Label> Instrument for Counters<L> {
    const KIND: Kind = Kind::Counter;
    const LABEL: Option<(&'static str, &'static [&'static str])> = Some((L::NAME, L::VALUES));

    fn over(cells: &Arc<Cells>, first: usize) -> Self {
        Counters { cells: cells.clone(), first, label: PhantomData }
    }
}

impl Instrument for Histogram {
    const KIND: Kind = Kind::Histogram;
    const LABEL: Option<(&'static str, &'static [&'static str])> = None;

    fn over(cells: &Arc<Cells>, first: usize) -> Self {
        Histogram { cells: cells.clone(), first }
    }
}
