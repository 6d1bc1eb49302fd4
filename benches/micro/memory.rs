//! Decision memory: what it costs to find an answer that a filter gave before, and to find that there is none.

use std::{hint::black_box, rc::Rc};

use criterion::{BenchmarkId, Criterion};
use weir::chain::memory::DecisionMemory;
use weir_runtime::{Decision, Passage, View};

/// As many as a filter remembers if nothing else is configured.
const ENTRIES: u64 = 4096;
/// Until which everything holds, in nanoseconds; now is 0.
const END: u64 = 1_000_000_000;

pub(crate) fn recall(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision memory");
    for (values, bytes) in [(1, 16), (4, 16), (1, 1_024)] {
        let mut memory = DecisionMemory::new(ENTRIES as usize);
        let decision = Rc::new(Decision::Pass(Passage::default()));
        (0..ENTRIES).for_each(|n| memory.keep(&view(n, values, bytes), Rc::clone(&decision), END, 0));
        let shape = format!("{values} values of {bytes} bytes");
        for (name, number) in [("hit", ENTRIES / 2), ("miss", ENTRIES + 1)] {
            let asked = view(number, values, bytes);
            group.bench_function(BenchmarkId::new(name, &shape), |bencher| {
                bencher.iter(|| black_box(memory.recall(black_box(&asked), 0)));
            });
        }
        let mut number = ENTRIES;
        group.bench_function(BenchmarkId::new("kept when full", &shape), |bencher| {
            bencher.iter(|| {
                number += 1;
                memory.keep(&view(number, values, bytes), Rc::clone(&decision), END + number, 0);
            });
        });
    }
}

/// Views that differ in their first value.
fn view(number: u64, values: usize, bytes: usize) -> View {
    let mut view = View::new();
    for value in 0..values as u64 {
        view.push(Some(format!("{:0bytes$}", if value == 0 { number } else { value }).as_bytes()));
    }
    view
}
