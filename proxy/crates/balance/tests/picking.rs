//! What holds for every algorithm, whatever the endpoints: who may be picked, and in which proportion.

use std::time::Duration;

use proptest::prelude::*;
use weir_balance::{Algorithm, Ask, Endpoint, Load, Picker, Random, Wyrand};

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::RoundRobin,
    Algorithm::Random,
    Algorithm::LeastRequest,
    Algorithm::PeakEwma,
    Algorithm::RingHash,
    Algorithm::Maglev,
];

struct Server {
    load: Load,
    weight: u32,
    hash: u64,
}

impl Endpoint for Server {
    fn load(&self) -> &Load {
        &self.load
    }

    fn weight(&self) -> u32 {
        self.weight
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

fn servers(weights: &[u32]) -> Vec<Server> {
    let load = || Load::new(Duration::from_millis(30), Duration::from_secs(10));
    let server = |(i, &weight): (usize, &u32)| Server { load: load(), weight, hash: i as u64 };
    weights.iter().enumerate().map(server).collect()
}

/// Picks of each server out of `picks`, keys being random, none in flight.
fn idle_picks(algorithm: Algorithm, weights: &[u32], picks: u32, keyed: bool) -> Vec<f64> {
    let servers = servers(weights);
    let picker = Picker::new(algorithm, &servers);
    let (mut random, mut keys) = (Wyrand::new(10), Wyrand::new(11));
    let mut taken = vec![0u32; servers.len()];
    for _ in 0..picks {
        let ask = Ask { hash: keyed.then(|| keys.next()), avoid: &[] };
        taken[picker.pick(&servers, 0, &mut random, &ask).expect("there are servers")] += 1;
    }
    taken.into_iter().map(|count| f64::from(count) / f64::from(picks)).collect()
}

#[test]
fn idle_servers_share_by_weight_under_every_algorithm() {
    for algorithm in ALGORITHMS {
        for keyed in [false, true] {
            let shares = idle_picks(algorithm, &[10, 0, 30, 60], 100_000, keyed);
            let hashed_to_points = algorithm == Algorithm::RingHash && keyed;
            let tolerance = if hashed_to_points { 0.05 } else { 0.005 };
            for (share, expected) in shares.iter().zip([0.1, 0.0, 0.3, 0.6]) {
                assert!((share - expected).abs() <= tolerance, "{algorithm:?}, seeds 10 and 11: {shares:?}");
            }
            assert_eq!(shares[1], 0.0, "{algorithm:?}");
        }
    }
}

#[test]
fn a_server_that_takes_a_part_gets_that_part_of_its_share() {
    for algorithm in ALGORITHMS {
        let servers = servers(&[10, 10, 20]);
        let picker = Picker::new(algorithm, &servers);
        let mut random = Wyrand::new(14);
        let part = |index| if index == 2 { 0.25 } else { 1.0 };
        let mut taken = [0u32; 3];
        for _ in 0..100_000 {
            let pick = picker.pick_by_part(&servers, 0, &mut random, None, |_| false, part);
            taken[pick.expect("there are servers")] += 1;
        }
        for (share, expected) in taken.map(|count| f64::from(count) / 100_000.0).iter().zip([0.4, 0.4, 0.2]) {
            assert!((share - expected).abs() < 0.01, "{algorithm:?}, seed 14: {taken:?}");
        }
        let skipped = picker.pick_by_part(&servers, 0, &mut random, None, |index| index != 2, part);
        assert_eq!(skipped, Some(2), "{algorithm:?}: there is nobody else");
    }
}

#[test]
fn keys_stay_where_they_are_while_a_server_takes_a_part() {
    for algorithm in [Algorithm::RingHash, Algorithm::Maglev] {
        let servers = servers(&[1; 5]);
        let (picker, mut random) = (Picker::new(algorithm, &servers), Wyrand::new(15));
        for key in 0..1_000 {
            let whole = picker.pick_unless(&servers, 0, &mut random, Some(key), |_| false);
            let by_part = picker.pick_by_part(&servers, 0, &mut random, Some(key), |_| false, |_| 0.1);
            assert_eq!(whole, by_part, "{algorithm:?} {key}");
        }
    }
}

#[test]
fn a_key_always_leads_to_the_same_server() {
    for algorithm in [Algorithm::RingHash, Algorithm::Maglev] {
        let servers = servers(&[1; 20]);
        let picker = Picker::new(algorithm, &servers);
        for key in 0..1_000 {
            let ask = Ask { hash: Some(key), avoid: &[] };
            let mut picks = (0..5).map(|seed| picker.pick(&servers, seed, &mut Wyrand::new(seed), &ask));
            let first = picks.next();
            assert!(picks.all(|pick| Some(pick) == first), "{algorithm:?} {key}");
        }
    }
}

#[test]
fn least_request_and_peak_ewma_prefer_the_idle_of_two() {
    for algorithm in [Algorithm::LeastRequest, Algorithm::PeakEwma] {
        let servers = servers(&[1, 1]);
        let picker = Picker::new(algorithm, &servers);
        servers[0].load.begin();
        let mut random = Wyrand::new(12);
        for _ in 0..1_000 {
            assert_eq!(
                picker.pick(&servers, 0, &mut random, &Ask::default()),
                Some(1),
                "{algorithm:?}, seed 12"
            );
        }
    }
}

#[test]
fn attempts_in_flight_settle_in_proportion_to_weights() {
    for algorithm in [Algorithm::LeastRequest, Algorithm::PeakEwma] {
        let servers = servers(&[10, 20, 30, 40]);
        let picker = Picker::new(algorithm, &servers);
        let mut random = Wyrand::new(13);
        for _ in 0..10_000 {
            let pick = picker.pick(&servers, 0, &mut random, &Ask::default()).unwrap();
            servers[pick].load.begin();
        }
        for server in &servers {
            let expected = f64::from(server.weight) * 100.0;
            let in_flight = f64::from(server.load.in_flight());
            assert!(
                (in_flight - expected).abs() < 30.0,
                "{algorithm:?}, seed 13: {in_flight}, not {expected}"
            );
        }
    }
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(ALGORITHMS.to_vec())
}

fn any_weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop_oneof![Just(0), Just(1), 0..10u32, any::<u32>()], 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pick_is_the_best_allowed(
        algorithm in any_algorithm(),
        weights in any_weights(),
        avoid in prop::collection::vec(0..14usize, 0..8),
        hash in any::<Option<u64>>(),
        seed in any::<u64>(),
    ) {
        let servers = servers(&weights);
        let picker = Picker::new(algorithm, &servers);
        let allowed: Vec<usize> = if weights.iter().all(|&weight| weight == 0) {
            (0..weights.len()).collect()
        } else {
            (0..weights.len()).filter(|&i| weights[i] > 0).collect()
        };
        let another = allowed.iter().any(|i| !avoid.contains(i));
        let mut random = Wyrand::new(seed);
        for _ in 0..20 {
            let pick = picker.pick(&servers, 0, &mut random, &Ask { hash, avoid: &avoid });
            prop_assert_eq!(pick.is_some(), !servers.is_empty());
            let Some(pick) = pick else { break };
            prop_assert!(allowed.contains(&pick), "{} has no weight", pick);
            prop_assert!(!another || !avoid.contains(&pick), "{} was tried before", pick);
            servers[pick].load.begin();
        }
    }
}
