//! An endpoint out of quota refuses at once (429). Its answers are the fastest of all and must not attract traffic.

use std::time::Duration;

use weir_balance::Algorithm;

use crate::engine::{MS, Plan, SECOND, Service, exponential, share, simulate};

const SEED: u64 = 401;

/// The part of the traffic that the refusing one of ten gets. `hold` none: the refusal is taken for an answer.
fn attracted(algorithm: Algorithm, hold: Option<Duration>) -> f64 {
    let plan = Plan {
        algorithm,
        servers: 10,
        workers: usize::MAX,
        per_second: 1_000.0,
        warm_up: 10 * SECOND,
        recorded: 120 * SECOND,
        seed: SEED,
    };
    let records = simulate(&plan, |server, _, random| match server {
        0 => Service { takes: MS, refuses: hold },
        _ => Service { takes: exponential(20.0 * MS as f64, random), refuses: None },
    });
    share(&records, 0) * 100.0
}

#[test]
fn a_fast_refusal_does_not_attract_traffic() {
    let unnamed = Some(Duration::ZERO);
    let least_request = attracted(Algorithm::LeastRequest, unnamed);
    let as_answers = attracted(Algorithm::PeakEwma, None);
    let as_refusals = attracted(Algorithm::PeakEwma, unnamed);
    let with_hold = attracted(Algorithm::PeakEwma, Some(Duration::from_secs(60)));
    println!(
        "one refusing of ten gets, seed {SEED}: {least_request:.2} % by least request, {as_answers:.2} % by peak EWMA \
         if refusals were answers, {as_refusals:.3} % as they are, {with_hold:.3} % with Retry-After: 60"
    );
    assert!(least_request > 10.0 && as_answers > 10.0, "seed {SEED}: the danger is real");
    assert!(as_refusals < 0.1, "seed {SEED}: {as_refusals} %");
    assert!(with_hold <= as_refusals, "seed {SEED}: {with_hold} %");
}
