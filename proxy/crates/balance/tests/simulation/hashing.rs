//! How evenly consistent hashing spreads keys, and how many it moves when an endpoint leaves.

use weir_balance::{Algorithm, Ask, Picker, Random, Wyrand};

use crate::server::{Server, servers};

const SEED: u64 = 501;
const KEYS: usize = 1_000_000;

/// Which server each key leads to.
fn owners(picker: &Picker, servers: &[Server], keys: &[u64]) -> Vec<usize> {
    let mut random = Wyrand::new(SEED);
    let mut owner = |key| picker.pick(servers, 0, &mut random, &Ask { hash: Some(key), avoid: &[] });
    keys.iter().map(|&key| owner(key).expect("there are servers")).collect()
}

fn keys() -> Vec<u64> {
    let mut random = Wyrand::new(SEED);
    (0..KEYS).map(|_| random.next()).collect()
}

/// Of keys whose owner stays, the part that moves when another server leaves; the mean over some that leave.
fn moved_without_need(algorithm: Algorithm, count: usize, keys: &[u64]) -> f64 {
    let mut all = servers(count);
    let before = owners(&Picker::new(algorithm, &all), &all, keys);
    let leaving = [0, count / 3, count / 2, count - 1];
    let moved = leaving.map(|gone| {
        let server = all.remove(gone);
        let after = owners(&Picker::new(algorithm, &all), &all, keys);
        all.insert(gone, server);
        let renumbered = |after: usize| if after >= gone { after + 1 } else { after };
        let moved = |&(&before, &after): &(&usize, &usize)| before != gone && before != renumbered(after);
        before.iter().zip(&after).filter(moved).count()
    });
    moved.iter().sum::<usize>() as f64 / leaving.len() as f64 / keys.len() as f64
}

/// The fullest server's keys against the mean.
fn most_to_mean(algorithm: Algorithm, count: usize, keys: &[u64]) -> f64 {
    let all = servers(count);
    let mut owned = vec![0usize; count];
    for owner in owners(&Picker::new(algorithm, &all), &all, keys) {
        owned[owner] += 1;
    }
    let most = owned.iter().max().copied().unwrap_or(0);
    most as f64 * count as f64 / keys.len() as f64
}

#[test]
fn maglev_is_even_and_the_ring_moves_no_key_without_need() {
    let keys = keys();
    for count in [10, 100, 1_000] {
        let [maglev, ring] = [Algorithm::Maglev, Algorithm::RingHash].map(|algorithm| {
            let most = most_to_mean(algorithm, count, &keys);
            let moved = moved_without_need(algorithm, count, &keys);
            println!(
                "{algorithm:?}, {count} servers, {KEYS} keys: max/mean {most:.3}, moved without need {:.2} %, \
                 seed {SEED}",
                moved * 100.0
            );
            (most, moved)
        });
        // A thousand keys each vary by three percent by themselves; four times that is the largest of a thousand.
        let chance = 1.0 + 4.0 * (count as f64 / KEYS as f64).sqrt();
        assert!(maglev.0 < chance * 1.01 && maglev.1 < 0.01, "{count}, seed {SEED}: {maglev:?}");
        assert!(ring.0 < 1.5 && ring.1 == 0.0, "{count}, seed {SEED}: {ring:?}");
    }
}
