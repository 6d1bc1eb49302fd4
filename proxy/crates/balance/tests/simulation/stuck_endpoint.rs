//! The work of "Beyond Round Robin: Load Balancing for Latency" (Buoyant, 2016): eleven endpoints answer in 167 ms,
//! give or take 5; one of them is stuck at 2 s for half of each minute. How many are answered within a second?

use weir_balance::{Algorithm, Random};

use crate::engine::{MS, Plan, SECOND, Service, simulate};

const SEED: u64 = 301;

/// In percent, over ten minutes.
fn within_a_second(algorithm: Algorithm, per_second: f64) -> f64 {
    let plan = Plan {
        algorithm,
        servers: 11,
        workers: usize::MAX,
        per_second,
        warm_up: 60 * SECOND,
        recorded: 600 * SECOND,
        seed: SEED,
    };
    let records = simulate(&plan, |server, now, random| {
        let stuck = server == 0 && now % (60 * SECOND) >= 30 * SECOND;
        let takes = if stuck { 2 * SECOND } else { 162 * MS + random.below(10 * MS) };
        Service { takes, refuses: None }
    });
    let answered = records.iter().filter(|record| record.took <= SECOND).count();
    answered as f64 / records.len() as f64 * 100.0
}

#[test]
fn peak_ewma_answers_999_of_1000_within_a_second_while_one_endpoint_is_stuck() {
    for per_second in [100.0, 1_000.0] {
        let [round_robin, random, least_request, peak_ewma] =
            [Algorithm::RoundRobin, Algorithm::Random, Algorithm::LeastRequest, Algorithm::PeakEwma]
                .map(|algorithm| within_a_second(algorithm, per_second));
        println!(
            "one stuck of eleven, {per_second}/s, answered within 1 s, seed {SEED}: round robin {round_robin:.2} %, \
             random {random:.2} %, least request {least_request:.2} %, peak EWMA {peak_ewma:.3} %"
        );
        assert!((round_robin - (100.0 - 100.0 / 22.0)).abs() < 0.2, "seed {SEED}: {round_robin} %");
        assert!(least_request > round_robin, "seed {SEED}: {least_request} %");
        assert!(peak_ewma >= 99.9, "seed {SEED}: {peak_ewma} %");
    }
}
