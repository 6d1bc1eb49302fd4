//! The candidate does worse than the others, and is taken back.

use std::time::Duration;

use serde_json::{Value, json};
use weir_filter_canary::Canary;
use weir_sdk::testing::Filter;
use weir_sdk::{Hooks, Level, Outcome};

use crate::{config, filter, outcome, request, share_of_v2, version_of};

/// Half of the users each, so that both are seen.
fn watched(stop: Value) -> Value {
    json!({
        "versions": [{ "label": "v1", "weight": 1 }, { "label": "v2", "weight": 1 }],
        "sticky": { "header": "x-user" },
        "stop": stop,
    })
}

/// So many exchanges over 3 s, ended by `end`, which is told the version. False: it was stopped.
fn play(filter: &Filter<Canary>, count: u32, end: impl Fn(&str, u32) -> (u16, u64)) -> bool {
    for number in 0..count {
        let user = format!("user-{number}");
        let version = version_of(filter, &user);
        let mut exchange = request(filter).header("x-user", &user).begin();
        let (status, ms) = end(&version, number);
        exchange.complete(outcome(filter, &exchange, status, ms));
        filter.advance(Duration::from_millis(u64::from(3_000 / count)));
    }
    share_of_v2(filter, 100) > 0.0
}

#[test]
fn a_candidate_that_fails_more_is_stopped_for_every_worker() {
    let filter = filter(watched(json!({})));
    let other = filter.another().unwrap();
    assert!(filter.hooks().contains(Hooks::COMPLETE));
    assert!(play(&filter, 300, |_, _| (200, 10)));
    assert!(!play(&other, 300, |version, number| if version == "v2" && number % 4 < 2 {
        (500, 10)
    } else {
        (200, 10)
    }));
    assert_eq!(share_of_v2(&filter, 200), 0.0);
    assert_eq!(filter.metric("canary_stops"), 1);
    let lines = filter.log_lines();
    let [(Level::Warn, line)] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains("stopped at 50 %") && line.contains("requests failed"), "{line}");
}

#[test]
fn it_stays_stopped_over_time_and_swaps_until_a_new_generation() {
    let filter = filter(watched(json!({})));
    assert!(!play(&filter, 300, |version, _| (if version == "v2" { 503 } else { 200 }, 10)));
    filter.advance(Duration::from_secs(3_600));
    assert_eq!(share_of_v2(&filter, 100), 0.0);
    let swapped = filter.swapped(config(watched(json!({ "window": "10s" })))).unwrap();
    assert_eq!(share_of_v2(&swapped, 100), 0.0);
    let mut again = watched(json!({}));
    again["generation"] = json!(1);
    let again = filter.swapped(config(again)).unwrap();
    assert!(play(&again, 300, |_, _| (200, 10)));
    assert_eq!(again.metric("canary_stops"), 1);
}

#[test]
fn failures_of_both_stop_nothing() {
    let filter = filter(watched(json!({})));
    assert!(play(&filter, 600, |_, number| (if number % 3 == 0 { 500 } else { 200 }, 10)));
    assert_eq!(filter.metric("canary_stops"), 0);
}

#[test]
fn a_candidate_that_is_slower_is_stopped_if_config_says_so() {
    let slow = |version: &str, _| (200, if version == "v2" { 40 } else { 20 });
    assert!(play(&filter(watched(json!({}))), 400, slow));
    assert!(play(&filter(watched(json!({ "latency_ratio": 2.5 }))), 400, slow));
    let strict = filter(watched(json!({ "latency_ratio": 1.5 })));
    assert!(!play(&strict, 400, slow));
    let lines = strict.log_lines();
    assert!(lines[0].1.contains("40.0 ms to answer, the others 20.0 ms"), "{lines:?}");
}

#[test]
fn few_requests_say_nothing() {
    let filter = filter(watched(json!({ "min_requests": 200 })));
    assert!(play(&filter, 300, |version, _| (if version == "v2" { 500 } else { 200 }, 10)));
    assert!(!play(&filter, 300, |version, _| (if version == "v2" { 500 } else { 200 }, 10)));
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let filter = filter(watched(json!({ "window": "5s", "min_requests": 100 })));
    // Some 75 failures of the candidate each time, never 100 within five seconds.
    for _ in 0..4 {
        assert!(play(&filter, 150, |version, _| (if version == "v2" { 500 } else { 200 }, 10)));
        filter.advance(Duration::from_secs(5));
    }
    assert_eq!(filter.metric("canary_stops"), 0);
}

#[test]
fn exchanges_that_say_nothing_about_the_version_do_not_count() {
    let filter = filter(watched(json!({})));
    let cases: [fn(Outcome) -> Outcome; 4] = [
        |outcome| Outcome { attempts: 0, local: true, ..outcome },
        |outcome| Outcome { cluster: None, ..outcome },
        |outcome| Outcome { status: 0, aborted: true, ..outcome },
        |outcome| Outcome { status: 200, aborted: true, ..outcome },
    ];
    for number in 0..800 {
        let mut exchange = request(&filter).header("x-user", format!("user-{number}")).begin();
        let failed = outcome(&filter, &exchange, 503, 10);
        exchange.complete(cases[number % 4](failed));
        filter.advance(Duration::from_millis(5));
    }
    assert!(share_of_v2(&filter, 100) > 0.0);
    let counted: i64 = (0..5).map(|slice| filter.cell(&format!("candidate/counts/{slice}"))).sum();
    assert_eq!(counted, 0);
}

#[test]
fn a_decision_is_remembered_shortly_enough_to_be_stopped() {
    let filter = filter(watched(json!({})));
    let decision = request(&filter).header("x-user", "ann").send();
    assert_eq!(decision.passage().unwrap().keep_ms, 1_000);
}
