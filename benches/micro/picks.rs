//! The balancers' choice among ten endpoints.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion};
use weir_balance::{Algorithm, Ask, Endpoint, Load, Nanos, Picker, Wyrand};

struct Server(Load, u64);

impl Endpoint for Server {
    fn load(&self) -> &Load {
        &self.0
    }

    fn weight(&self) -> u32 {
        1
    }

    fn hash(&self) -> u64 {
        self.1
    }
}

pub(crate) fn algorithms(criterion: &mut Criterion) {
    let rtt = Duration::from_millis(30);
    let servers: Vec<Server> = (0..10u64)
        .map(|n| Server(Load::new(rtt, Duration::from_secs(10)), n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let mut random = Wyrand::new(7);
    let mut group = criterion.benchmark_group("pick among 10");
    for (name, algorithm) in [
        ("round robin", Algorithm::RoundRobin),
        ("least request", Algorithm::LeastRequest),
        ("peak EWMA", Algorithm::PeakEwma),
        ("ring hash", Algorithm::RingHash),
        ("Maglev", Algorithm::Maglev),
    ] {
        let picker = Picker::new(algorithm, &servers);
        let ask = Ask { hash: Some(0x1234_5678_9abc_def0), avoid: &[] };
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| black_box(picker.pick(&servers, Nanos::default(), &mut random, &ask)));
        });
    }
}
