//! Three zones with as many callers each: what leaves a caller's zone, and what the busiest endpoint bears against the
//! mean of those in use, as endpoints of one zone go.

use weir_balance::{Algorithm, Ask, Picker, Random, Wyrand, kept_in_zone};

use crate::server::servers;

const SEED: u64 = 801;
const REQUESTS: u32 = 300_000;

/// The part that crosses, and the busiest against the mean, where zones have so many endpoints in use.
fn run(zones: [usize; 3]) -> (f64, f64) {
    let all: usize = zones.iter().sum();
    let mut random = Wyrand::new(SEED);
    let mut taken = vec![0u32; all];
    let mut crossed = 0u32;
    // For each zone its own endpoints, and those of the others, by where they are among all.
    let first = |zone: usize| zones[..zone].iter().sum::<usize>();
    let own = |zone: usize| (first(zone)..first(zone) + zones[zone]).collect::<Vec<_>>();
    let others = |zone: usize| (0..all).filter(|at| !own(zone).contains(at)).collect::<Vec<_>>();
    let part = |members: Vec<usize>| {
        let servers = servers(members.len());
        (Picker::new(Algorithm::Random, &servers), servers, members)
    };
    let parts: Vec<_> = (0..3).map(|zone| [part(own(zone)), part(others(zone))]).collect();
    for _ in 0..REQUESTS {
        let zone = random.below(3) as usize;
        let kept = kept_in_zone(zones[zone] as u64, all as u64, 3);
        let leaves = random.unit() >= kept;
        let (picker, servers, members) = &parts[zone][usize::from(leaves)];
        let pick = picker.pick(servers, 0, &mut random, &Ask::default());
        taken[members[pick.expect("there are servers")]] += 1;
        crossed += u32::from(leaves);
    }
    let busiest = taken.into_iter().max().unwrap_or_default();
    (f64::from(crossed) / f64::from(REQUESTS), f64::from(busiest) * all as f64 / f64::from(REQUESTS))
}

#[test]
fn traffic_leaves_a_zone_only_as_it_must() {
    // Without preference two thirds cross, and all bear the same.
    for (zones, most_crosses, most_bears) in [
        ([4, 4, 4], 0.0, 1.03),
        ([3, 4, 4], 0.0, 1.25),
        ([2, 4, 4], 0.06, 1.45),
        ([1, 4, 4], 0.19, 1.45),
        ([0, 4, 4], 0.34, 1.03),
        ([1, 10, 10], 0.29, 1.45),
    ] {
        let (crosses, busiest) = run(zones);
        println!(
            "zones of {zones:?}: {:.1} % cross, the busiest bears {busiest:.2}, seed {SEED}",
            crosses * 100.0
        );
        assert!(crosses <= most_crosses, "{zones:?}, seed {SEED}: {crosses}");
        assert!(busiest <= most_bears, "{zones:?}, seed {SEED}: {busiest}");
    }
}
