//! Closed, open, half-open, and back.

use std::time::Duration;

use serde_json::json;
use weir_sdk::{Decision, Outcome};

use super::{begin, breaker, open, plain, sends};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn seven_failures_in_a_row_open_it_for_all_workers() {
    let first = plain();
    let second = first.another().unwrap();
    for at in 0..7 {
        assert!(sends(if at % 2 == 0 { &first } else { &second }, 503));
    }
    for worker in [&first, &second] {
        let rejected = begin(worker);
        assert_eq!(rejected.decision().status(), Some(503));
        assert_eq!(rejected.decision().reason(), Some("breaker_open"));
        assert_eq!(&*rejected.decision().reply().unwrap().fields[0].1, b"1");
    }
    assert_eq!((first.metric("breaker_opened"), first.metric("breaker_rejected")), (1, 2));
}

#[test]
fn one_request_probes_and_closes_it() {
    let breaker = plain();
    open(&breaker);
    breaker.advance(SECOND);
    let mut probe = begin(&breaker);
    assert!(probe.passed());
    assert!(!sends(&breaker, 200), "a second went through beside the probe");
    assert!(!sends(&breaker.another().unwrap(), 200), "another worker let one through beside the probe");
    probe.end(200);
    assert!(sends(&breaker, 200));
    assert_eq!((breaker.metric("breaker_probes"), breaker.metric("breaker_closed")), (1, 1));
}

#[test]
fn a_failed_probe_doubles_the_time_up_to_a_minute() {
    let breaker = plain();
    open(&breaker);
    let mut waited = Vec::new();
    for _ in 0..10 {
        let mut millis = 0;
        let mut probe = loop {
            let exchange = begin(&breaker);
            if exchange.passed() {
                break exchange;
            }
            breaker.advance(Duration::from_millis(10));
            millis += 10;
        };
        probe.end(500);
        waited.push(millis);
    }
    for (openings, millis) in waited.iter().enumerate() {
        let most = (1_000 << openings).min(60_000);
        assert!((most * 4 / 5..=most + 10).contains(millis), "opening {openings}: {waited:?}");
    }
    assert!(waited[6..].iter().any(|millis| *millis != waited[6]), "no jitter: {waited:?}");
}

#[test]
fn a_lost_probe_is_followed_by_another() {
    let breaker = breaker(json!({ "cluster": "users", "probe_timeout": "5s" }));
    open(&breaker);
    breaker.advance(SECOND);
    let mut lost = begin(&breaker);
    assert!(lost.passed());
    breaker.advance(Duration::from_millis(4_999));
    assert!(!begin(&breaker).passed());
    breaker.advance(Duration::from_millis(1));
    let mut second = begin(&breaker);
    assert!(second.passed());
    lost.end(500);
    assert!(!begin(&breaker).passed(), "a probe given up changed the state");
    second.end(200);
    assert!(sends(&breaker, 200));
}

#[test]
fn a_probe_that_learns_nothing_makes_room_for_the_next() {
    let breaker = plain();
    open(&breaker);
    breaker.advance(SECOND);
    let mut left = begin(&breaker);
    left.complete(Outcome { status: 0, aborted: true, ..left.outcome() });
    let mut refused = begin(&breaker);
    assert!(refused.passed());
    refused.complete(Outcome { attempts: 0, cluster: None, local: true, status: 401, ..refused.outcome() });
    let mut third = begin(&breaker);
    assert!(third.passed());
    third.end(200);
    assert!(sends(&breaker, 200));
}

#[test]
fn what_began_before_it_opened_does_not_open_it_again() {
    let breaker = plain();
    let mut hanging: Vec<_> = (0..50).map(|_| begin(&breaker)).collect();
    open(&breaker);
    breaker.advance(SECOND);
    assert!(sends(&breaker, 200));
    for exchange in &mut hanging {
        exchange.complete(Outcome { status: 504, local: true, ..exchange.outcome() });
    }
    assert!(sends(&breaker, 200));
    assert_eq!(breaker.metric("breaker_opened"), 1);
}

#[test]
fn old_failures_are_forgotten_when_it_closes() {
    let breaker = plain();
    for _ in 0..30 {
        assert!(sends(&breaker, 200));
    }
    open(&breaker);
    breaker.advance(SECOND);
    assert!(sends(&breaker, 200));
    for _ in 0..6 {
        assert!(sends(&breaker, 500));
    }
    assert!(sends(&breaker, 200));
}

#[test]
fn callers_get_the_fallback_that_config_says() {
    let cached = breaker(json!({ "cluster": "users", "fallback": { "cluster": "cache" } }));
    for _ in 0..7 {
        assert!(sends(&cached, 500));
    }
    let mut elsewhere = begin(&cached);
    assert_eq!(elsewhere.passage().route, Decision::pass().to(cached.cluster("cache")).route);
    elsewhere.end(500);
    assert_eq!(cached.metric("breaker_opened"), 1);
    let still = breaker(json!({ "cluster": "users", "fallback": { "reply": {
        "status": 200, "body": "[]", "headers": { "Content-Type": "application/json" }
    } } }));
    open(&still);
    let expected =
        Decision::answer(200).header("content-type", "application/json").body("[]").reason("breaker_open");
    assert_eq!(*begin(&still).decision(), expected.into());
}

#[test]
fn other_clusters_are_not_looked_at() {
    let breaker = plain();
    open(&breaker);
    let other = breaker.request().route_cluster("others").begin();
    assert!(other.passed() && !other.shown());
}

#[test]
fn the_state_survives_a_swap() {
    let breaker = plain();
    open(&breaker);
    let swapped = breaker.swapped(json!({ "cluster": "users", "open_for": "2s" })).unwrap();
    assert!(!begin(&swapped).passed());
}
