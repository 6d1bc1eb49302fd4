//! One endpoint in ten is five times slower, for good: what the slowest hundredth of the callers sees.

use weir_balance::Algorithm;

use crate::engine::{
    MS, Plan, Record, SECOND, Service, exponential, mean_ms, percentile_ms, share, simulate,
};

const SEED: u64 = 201;

/// Ten servers of 16 workers, 10 ms each request and 50 ms at the slow one: fair shares load it by 62 %.
fn run(algorithm: Algorithm) -> Vec<Record> {
    let plan = Plan {
        algorithm,
        servers: 10,
        workers: 16,
        per_second: 2_000.0,
        warm_up: 20 * SECOND,
        recorded: 100 * SECOND,
        seed: SEED,
    };
    simulate(&plan, |server, _, random| {
        let mean = if server == 0 { 50 * MS } else { 10 * MS };
        Service { takes: exponential(mean as f64, random), refuses: None }
    })
}

#[test]
fn peak_ewma_keeps_the_tail_from_a_slow_endpoint() {
    let algorithms = [Algorithm::RoundRobin, Algorithm::LeastRequest, Algorithm::PeakEwma];
    let [round_robin, least_request, peak_ewma] = algorithms.map(|algorithm| {
        let records = run(algorithm);
        let p99 = percentile_ms(&records, 0.99);
        let (mean, slow) = (mean_ms(&records), share(&records, 0) * 100.0);
        println!("one slow of ten, {algorithm:?}: p99 {p99:.1} ms, mean {mean:.1} ms, {slow:.2} % to it, seed {SEED}");
        p99
    });
    assert!(peak_ewma < least_request, "seed {SEED}: {peak_ewma} against {least_request}");
    assert!(peak_ewma * 2.0 < round_robin, "seed {SEED}: {peak_ewma} against {round_robin}");
}
