//! Tests of the moving average: what raises it, what lowers it, and how fast.

use super::*;

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MS;

fn load() -> Load {
    Load::new(Duration::from_millis(30), Duration::from_secs(10))
}

fn answer(load: &Load, now: Nanos, rtt_ms: u64) {
    load.begin();
    load.end(now, Ended::Answered { rtt: Duration::from_millis(rtt_ms) });
}

fn ewma_ms(load: &Load, now: Nanos) -> f64 {
    load.ewma(now).as_secs_f64() * 1e3
}

#[track_caller]
fn assert_near(actual: f64, expected: f64) {
    assert!((actual - expected).abs() <= expected * 1e-3, "{actual}, not {expected}");
}

#[test]
fn an_unknown_endpoint_starts_at_its_default_when_first_looked_at() {
    let load = load();
    assert_near(ewma_ms(&load, 1_000 * SECOND), 30.0);
    assert_near(ewma_ms(&load, 1_010 * SECOND), 30.0 / std::f64::consts::E);
}

#[test]
fn a_slower_answer_becomes_the_estimate_at_once() {
    let load = load();
    answer(&load, SECOND, 400);
    assert_near(ewma_ms(&load, SECOND), 400.0);
}

#[test]
fn faster_answers_pull_the_estimate_down_as_time_passes() {
    let load = load();
    answer(&load, 0, 1_000);
    for ms in 1..=10_000 {
        answer(&load, ms * MS, 100);
    }
    assert_near(ewma_ms(&load, 10 * SECOND), 100.0 + 900.0 / std::f64::consts::E);
}

#[test]
fn answers_within_one_instant_do_not_lower_the_estimate() {
    let load = load();
    answer(&load, SECOND, 1_000);
    for _ in 0..1_000 {
        answer(&load, SECOND, 1);
    }
    assert_near(ewma_ms(&load, SECOND), 1_000.0);
}

#[test]
fn frequent_answers_lower_the_estimate_no_slower_than_rare_ones() {
    let load = load();
    answer(&load, 0, 1_000);
    for step in 1..=1_000_000 {
        answer(&load, step * 10_000, 100); // 100,000 a second
    }
    assert_near(ewma_ms(&load, 10 * SECOND), 100.0 + 900.0 / std::f64::consts::E);
}

#[test]
fn refusals_count_as_long_as_they_ask_for_within_bounds() {
    for (hold_s, counts_ms) in [(0, 5_000.0), (1, 1_000.0), (20, 20_000.0), (86_400, 300_000.0)] {
        let load = load();
        load.begin();
        load.end(SECOND, Ended::Refused { hold: Duration::from_secs(hold_s) });
        assert_near(ewma_ms(&load, SECOND), counts_ms);
    }
}

#[test]
fn neither_failures_nor_cancellations_make_an_endpoint_look_better() {
    let load = load();
    answer(&load, SECOND, 8_000);
    for ended in [Ended::Failed, Ended::Cancelled { after: Duration::ZERO }] {
        load.begin();
        load.end(SECOND, ended);
        assert_near(ewma_ms(&load, SECOND), 8_000.0);
    }
    load.begin();
    load.end(SECOND, Ended::Cancelled { after: Duration::from_secs(9) });
    assert_near(ewma_ms(&load, SECOND), 9_000.0);
}

#[test]
fn a_failure_counts_as_five_seconds() {
    let load = load();
    load.begin();
    load.end(SECOND, Ended::Failed);
    assert_near(ewma_ms(&load, SECOND), 5_000.0);
}

#[test]
fn attempts_in_flight_multiply_the_score() {
    let load = load();
    load.begin();
    load.begin();
    assert_eq!(load.in_flight(), 2);
    assert_near(load.score(0), 90e6);
    load.end(0, Ended::Cancelled { after: Duration::ZERO });
    assert_near(load.score(0), 60e6);
}

#[test]
fn attempts_in_flight_tell_long_idle_endpoints_apart() {
    let load = load();
    assert_near(load.score(0), 30e6);
    let idle = load.score(3_600 * SECOND);
    load.begin();
    assert!(idle > 0.0 && load.score(3_600 * SECOND) > idle);
}

#[test]
fn a_worker_whose_clock_lags_does_no_harm() {
    let load = load();
    answer(&load, 100 * SECOND, 50);
    answer(&load, 99 * SECOND, 20);
    assert_near(ewma_ms(&load, 99 * SECOND), 50.0);
    answer(&load, 99 * SECOND, 70);
    assert!(ewma_ms(&load, 100 * SECOND) > 60.0);
}

#[test]
fn degenerate_settings_and_measurements_are_borne() {
    for decay in [Duration::ZERO, Duration::MAX] {
        let load = Load::new(Duration::ZERO, decay);
        for (now, rtt) in [(0, Duration::ZERO), (u64::MAX, Duration::MAX), (1, Duration::MAX)] {
            load.begin();
            load.end(now, Ended::Answered { rtt });
            let score = load.score(now);
            assert!(score.is_finite() && score > 0.0, "{decay:?} {now}: {score}");
        }
    }
}

#[test]
fn workers_together_lose_no_count_and_no_peak() {
    let load = load();
    std::thread::scope(|scope| {
        for worker in 1..=4 {
            let load = &load;
            scope.spawn(move || {
                for i in 0..10_000 {
                    answer(load, i * 1_000, if i == 5_000 { 1_000 * worker } else { 1 });
                }
            });
        }
    });
    assert_eq!(load.in_flight(), 0);
    assert_near(ewma_ms(&load, 10 * MS), 4_000.0);
}
