//! The parts, one by one, with criterion: what a crossing, a remembered decision, a lookup, a pick and a head cost.

mod crossing;
mod heads;
mod memory;
mod picks;
mod report;

use std::time::SystemTime;

use criterion::{Criterion, criterion_group};

criterion_group! {
    name = micro;
    config = Criterion::default().output_directory(&report::home());
    targets = crossing::views, crossing::routes, crossing::policies, memory::recall, picks::algorithms, heads::both_ways
}

fn main() {
    let began = SystemTime::now();
    micro();
    Criterion::default().configure_from_args().final_summary();
    // Named by `cargo xtask bench micro --json`: criterion knows no such option.
    if let Some(file) = std::env::var_os("WEIR_BENCH_JSON") {
        report::write(file.as_ref(), began);
    }
}
