//! The parts, one by one, with criterion: what a crossing, a lookup, a pick and a head cost.

mod crossing;
mod heads;
mod picks;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    micro,
    crossing::views,
    crossing::routes,
    crossing::policies,
    picks::algorithms,
    heads::both_ways
);
criterion_main!(micro);
