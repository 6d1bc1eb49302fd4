//! A fifth endpoint joins four and is cold: it takes ten times as long at first, less with each second that it serves.
//! What callers see of that while it warms up, with slow start and without.

use std::time::Duration;

use weir_balance::{Algorithm, Nanos, SlowStart, Standing};

use crate::engine::{
    MS, Plan, Record, SECOND, Service, exponential, percentile_ms, share, simulate, simulate_by_part,
};

const SEED: u64 = 701;
const NEWCOMER: usize = 4;
/// How long it takes to be as fast as the others, and how long it is eased in.
const WARM: Nanos = 20 * SECOND;
const EASED: Duration = Duration::from_secs(30);

/// Five servers of eight workers and 10 ms, 1,600 requests/s: 40 % of what they bear when all are warm.
fn plan(algorithm: Algorithm) -> Plan {
    let (warm_up, recorded) = (0, WARM);
    Plan { algorithm, servers: 5, workers: 8, per_second: 1_600.0, warm_up, recorded, seed: SEED }
}

fn serve(server: usize, now: Nanos, random: &mut weir_balance::Wyrand) -> Service {
    let cold = if server == NEWCOMER { 9.0 * (1.0 - now as f64 / WARM as f64).max(0.0) } else { 0.0 };
    Service { takes: exponential(10.0 * MS as f64 * (1.0 + cold), random), refuses: None }
}

fn eased(algorithm: Algorithm) -> Vec<Record> {
    let (slow, standing) = (SlowStart::new(EASED), Standing::default());
    standing.enter();
    let part = |server, now| if server == NEWCOMER { slow.part(&standing, now) } else { 1.0 };
    simulate_by_part(&plan(algorithm), serve, &part)
}

#[test]
fn a_cold_newcomer_hurts_less_when_it_is_eased_in() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequest, Algorithm::PeakEwma] {
        let figures = [simulate(&plan(algorithm), serve), eased(algorithm)]
            .map(|records| (percentile_ms(&records, 0.99), share(&records, NEWCOMER) * 100.0));
        let [(at_once, share), (slowly, eased_share)] = figures;
        println!(
            "a cold fifth, {algorithm:?}: p99 {at_once:.1} ms at once ({share:.1} % to it), {slowly:.1} ms \
             with slow start ({eased_share:.1} %), seed {SEED}"
        );
        // Peak EWMA keeps away from what is slow by itself, and is not made worse.
        let most = if algorithm == Algorithm::PeakEwma { at_once * 1.1 } else { at_once * 0.7 };
        assert!(slowly < most, "{algorithm:?}, seed {SEED}: {slowly} against {at_once}");
        assert!(eased_share > 0.5, "{algorithm:?}, seed {SEED}: it warms by what it serves: {eased_share}");
    }
}
