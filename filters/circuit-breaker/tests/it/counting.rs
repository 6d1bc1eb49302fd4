//! What is counted, and when it is too much.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::json;
use weir_sdk::Outcome;

use super::{begin, breaker, local, plain, sends};

#[test]
fn half_of_twenty_open_it_and_less_does_not() {
    // Alternating, so that none come in a row.
    let half = plain();
    for at in 0..20 {
        assert!(sends(&half, if at % 2 == 0 { 200 } else { 500 }), "it opened at request {at}");
    }
    assert!(!sends(&half, 200));
    let less = plain();
    for at in 0..300 {
        assert!(sends(&less, if at % 5 < 3 { 200 } else { 500 }), "it opened at request {at}");
    }
}

#[test]
fn failures_out_of_the_window_are_forgotten_but_a_row_is_not() {
    let slow = plain();
    for _ in 0..6 {
        assert!(sends(&slow, 500));
        slow.advance(Duration::from_secs(3_600));
    }
    assert!(sends(&slow, 500));
    assert!(!sends(&slow, 200), "seven in a row, however slowly");
    let spread = breaker(json!({ "cluster": "users", "open_at": { "in_a_row": 0 } }));
    for _ in 0..200 {
        assert!(sends(&spread, 500));
        spread.advance(Duration::from_millis(600));
    }
}

#[test]
fn a_success_breaks_the_row_in_any_slice_and_worker() {
    let first = plain();
    let second = first.another().unwrap();
    for _ in 0..20 {
        for _ in 0..9 {
            assert!(sends(&second, 200));
        }
        for _ in 0..6 {
            assert!(sends(&first, 500));
            first.advance(Duration::from_millis(700));
        }
    }
}

#[test]
fn what_counts_as_a_failure_is_as_configured() {
    // Each outcome seven times: does it open? By default, and with other choices.
    let other = json!({ "statuses": [429, "4xx"], "timeouts": false, "resets": false, "aborted": true });
    type Change = fn(Outcome) -> Outcome;
    let cases: [(&str, Change, bool, bool); 9] = [
        ("500", |o| Outcome { status: 500, ..o }, true, false),
        ("429", |o| Outcome { status: 429, ..o }, false, true),
        ("404", |o| Outcome { status: 404, ..o }, false, true),
        ("timeout", |o| Outcome { status: 504, local: true, ..o }, true, false),
        ("reset", |o| Outcome { status: 502, local: true, ..o }, true, false),
        (
            "no attempt",
            |o| Outcome { status: 503, local: true, attempts: 0, cluster: None, ..o },
            false,
            false,
        ),
        ("answered by a filter", |o| Outcome { status: 500, local: true, ..o }, false, false),
        ("caller left", |o| Outcome { status: 0, aborted: true, ..o }, false, true),
        ("broken off", |o| Outcome { aborted: true, ..o }, false, true),
    ];
    for (name, change, by_default, with_other) in cases {
        for (config, opens) in [
            (json!({ "cluster": "users" }), by_default),
            (json!({ "cluster": "users", "failures": other }), with_other),
        ] {
            let breaker = breaker(config.clone());
            for _ in 0..7 {
                let mut exchange = begin(&breaker);
                let outcome = change(exchange.outcome());
                exchange.complete(outcome);
            }
            assert_eq!(!begin(&breaker).passed(), opens, "{name} with {config}");
        }
    }
}

#[test]
fn rejections_of_its_own_do_not_count() {
    let breaker = plain();
    super::open(&breaker);
    for _ in 0..100 {
        assert!(!sends(&breaker, 500));
    }
    assert_eq!(breaker.metric("breaker_opened"), 1);
    breaker.advance(Duration::from_secs(1));
    assert!(sends(&breaker, 200) && sends(&breaker, 200));
}

/// Against the plain way to count: a list of what happened, in slices. Four workers, seeded.
#[test]
fn the_window_counts_as_a_list_would() {
    let (seed, within, slice) = (77, 10_000, 1_000);
    let config = json!({ "cluster": "users", "open_at": { "in_a_row": 7, "of": 20, "failures": 0.5 } });
    let mut random = Random(seed);
    let mut openings = 0;
    for round in 0..40 {
        let first = breaker(config.clone());
        let workers = [first.another().unwrap(), first.another().unwrap(), first.another().unwrap(), first];
        let share = 20 + random.next() % 40;
        let (mut listed, mut row) = (VecDeque::<(u64, bool)>::new(), 0);
        for step in 0..400 {
            let worker = &workers[(random.next() % 4) as usize];
            worker.advance(Duration::from_millis(random.next() % 700));
            let now = worker.now_ms();
            let failed = random.next() % 100 < share;
            let mut exchange = begin(worker);
            assert!(exchange.passed());
            let outcome = if failed { local(&exchange, 504) } else { exchange.outcome() };
            exchange.complete(outcome);
            listed.push_back((now / slice, failed));
            listed.retain(|(at, _)| *at > now / slice - within / slice);
            row = if failed { row + 1 } else { 0 };
            let failures = listed.iter().filter(|(_, failed)| *failed).count();
            let too_many = row >= 7 || (listed.len() >= 20 && failures * 2 >= listed.len());
            let open = !begin(worker).passed();
            assert_eq!(
                open,
                failed && too_many,
                "seed {seed}, round {round}, step {step}: {failures} of {}",
                listed.len()
            );
            if open {
                openings += 1;
                break;
            }
        }
    }
    assert!(openings > 10 && openings < 40, "{openings} of 40 rounds opened: the test tests little");
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
