//! Least request against queueing theory: many servers of one worker, Poisson arrivals, exponential service. With
//! two choices the mean time in system has a closed form for infinitely many servers (Mitzenmacher, "The Power of
//! Two Choices in Randomized Load Balancing", 2001; Vvedenskaya et al., 1996): the sum over i >= 1 of
//! load^(2^i - 2). With one choice each server is an M/M/1 queue: 1 / (1 - load).
//!
//! Near saturation the queues wander so slowly that a percent of precision takes tens of millions of requests.
//! Hence not the engine of the other simulations but the same process seen only where it changes (uniformisation):
//! each step is an arrival, or the end of a service at a server drawn at random, which does nothing if the server is
//! idle. The mean number of requests, by Little's law, gives the mean time.

use std::time::Duration;

use weir_balance::{Algorithm, Ask, Ended, Endpoint, Picker, Random, Wyrand};

use crate::engine::{MS, Plan, Service, exponential, mean_ms, simulate};
use crate::server::servers;

/// What is simulated; times in units of the mean service time.
struct Queues {
    algorithm: Algorithm,
    servers: usize,
    load: f64,
    warm_up: u64,
    recorded: u64,
    seed: u64,
}

/// The mean time in system.
fn mean_time(queues: &Queues) -> f64 {
    let servers = servers(queues.servers);
    let picker = Picker::new(queues.algorithm, &servers);
    let mut random = Wyrand::new(queues.seed);
    let per_unit = queues.servers as f64 * (1.0 + queues.load);
    let warm_up = (queues.warm_up as f64 * per_unit) as u64;
    let recorded = (queues.recorded as f64 * per_unit) as u64;
    let (mut present, mut sum) = (0u64, 0u64);
    for step in 0..warm_up + recorded {
        if random.unit() * (1.0 + queues.load) < queues.load {
            let pick = picker.pick(&servers, 0, &mut random, &Ask::default());
            servers[pick.expect("there are servers")].load().begin();
            present += 1;
        } else {
            let load = servers[random.below(queues.servers as u64) as usize].load();
            if load.in_flight() > 0 {
                load.end(0, Ended::Cancelled { after: Duration::ZERO });
                present -= 1;
            }
        }
        if step >= warm_up {
            sum += present;
        }
    }
    sum as f64 / recorded as f64 / (queues.servers as f64 * queues.load)
}

fn assert_meets(queues: &Queues, expected: f64) {
    let measured = mean_time(queues);
    let (load, seed, algorithm) = (queues.load, queues.seed, queues.algorithm);
    let off = measured / expected - 1.0;
    println!(
        "{algorithm:?}, load {load}: {measured:.3}, theory {expected:.3}, {:+.2} %, seed {seed}",
        off * 100.0
    );
    assert!(off.abs() < 0.03, "{algorithm:?}, load {load}, seed {seed}: {measured} against {expected}");
}

#[test]
fn two_choices_meet_the_closed_form() {
    let rows = [
        (0.5f64, 50, 400),
        (0.7, 50, 600),
        (0.8, 100, 800),
        (0.9, 200, 1_500),
        (0.95, 400, 3_000),
        (0.99, 1_000, 12_000),
    ];
    for (load, warm_up, recorded) in rows {
        let expected = (1..30).map(|i| load.powf(2f64.powi(i) - 2.0)).sum();
        let algorithm = Algorithm::LeastRequest;
        assert_meets(&Queues { algorithm, servers: 2_000, load, warm_up, recorded, seed: 101 }, expected);
    }
}

#[test]
fn random_meets_the_single_server_queue() {
    for (load, warm_up, recorded) in
        [(0.5, 100, 1_000), (0.7, 300, 3_000), (0.8, 600, 6_000), (0.9, 2_000, 20_000)]
    {
        let algorithm = Algorithm::Random;
        assert_meets(
            &Queues { algorithm, servers: 500, load, warm_up, recorded, seed: 102 },
            1.0 / (1.0 - load),
        );
    }
}

#[test]
fn peak_ewma_among_equals_queues_hardly_more_than_least_request() {
    let (seed, load) = (103, 0.9);
    let mean = |algorithm| {
        let per_second = load * 500.0 * 1_000.0;
        let (warm_up, recorded) = (200 * MS, 600 * MS);
        let plan = Plan { algorithm, servers: 500, workers: 1, per_second, warm_up, recorded, seed };
        mean_ms(&simulate(&plan, |_, _, random| Service {
            takes: exponential(MS as f64, random),
            refuses: None,
        }))
    };
    let (ewma, least) = (mean(Algorithm::PeakEwma), mean(Algorithm::LeastRequest));
    println!(
        "equal servers, load {load}: peak EWMA {ewma:.3}, least request {least:.3}, random 10, seed {seed}"
    );
    assert!(ewma < least * 1.2, "seed {seed}: {ewma} against {least}");
}
