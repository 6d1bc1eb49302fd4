//! Ejections in made-up time.

use super::*;
use crate::{Health, Wyrand};

const SECOND: Nanos = 1_000_000_000;

fn rules() -> Rules {
    Rules {
        consecutive: 5,
        time: Duration::from_secs(30),
        most_time: Duration::from_secs(300),
        most_percent: 10,
        success_rate: None,
    }
}

struct Stage {
    ejector: Ejector,
    standings: Vec<Standing>,
    random: Wyrand,
}

impl Stage {
    fn new(endpoints: usize, rules: Rules) -> Self {
        let standings = (0..endpoints).map(|_| Standing::default()).collect();
        Self { ejector: Ejector::new(rules), standings, random: Wyrand::new(7) }
    }

    fn fail(&mut self, endpoint: usize, probe: bool, now: Nanos) -> Option<Change> {
        let number = self.standings.len();
        self.ejector.failed(&self.standings[endpoint], number, probe, now, &mut self.random)
    }

    fn fails(&mut self, endpoint: usize, times: usize, now: Nanos) -> Option<Change> {
        (0..times).map(|_| self.fail(endpoint, false, now)).last().flatten()
    }

    fn succeed(&self, endpoint: usize, probe: bool, now: Nanos) -> Option<Change> {
        self.ejector.succeeded(&self.standings[endpoint], probe, now)
    }

    fn probe(&self, endpoint: usize, now: Nanos) -> bool {
        self.ejector.take_probe(&self.standings[endpoint], now)
    }
}

fn time_of(change: Option<Change>) -> Duration {
    match change {
        Some(Change::Ejected(_, time)) => time,
        other => panic!("{other:?}"),
    }
}

#[test]
fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
    let mut stage = Stage::new(3, rules());
    assert_eq!(stage.fails(0, 4, 0), None);
    stage.succeed(0, false, 0);
    assert_eq!(stage.fails(0, 4, 0), None);
    let time = time_of(stage.fail(0, false, 0));
    assert!((27..=30).contains(&time.as_secs()), "{time:?}");
    assert!(stage.standings[0].is_out());
    assert_eq!(stage.fails(0, 9, SECOND), None, "once is enough");
}

#[test]
fn one_probe_brings_an_endpoint_back() {
    let mut stage = Stage::new(3, rules());
    let time = time_of(stage.fails(0, 5, 0));
    let until = time.as_nanos() as Nanos;
    assert!(!stage.ejector.may_probe(until - 1) && !stage.probe(0, until - 1));
    assert!(stage.ejector.may_probe(until) && stage.probe(0, until) && !stage.probe(0, until));
    assert_eq!(stage.succeed(0, false, until), None, "an answer from before says nothing");
    assert_eq!(stage.succeed(0, true, until), Some(Change::Returned));
    assert_eq!(stage.standings[0].health(until), Health::In);
}

#[test]
fn a_probe_that_fails_takes_longer_and_one_given_up_tells_nothing() {
    let mut stage = Stage::new(3, rules());
    let mut now = time_of(stage.fails(0, 5, 0)).as_nanos() as Nanos;
    assert!(stage.probe(0, now));
    stage.ejector.give_probe_back(&stage.standings[0], now);
    for number in 2..=20u64 {
        assert!(stage.ejector.may_probe(now) && stage.probe(0, now), "{number}");
        let time = time_of(stage.fail(0, true, now));
        let whole = (30 * number).min(300);
        assert!((whole * 9 / 10..=whole).contains(&time.as_secs()), "{number}: {time:?}");
        now += time.as_nanos() as Nanos;
    }
}

#[test]
fn ejections_are_forgotten_one_by_one() {
    let mut stage = Stage::new(3, rules());
    let mut now = 0;
    for _ in 0..4 {
        now += time_of(stage.fails(0, 5, now)).as_nanos() as Nanos;
        assert!(stage.probe(0, now) && stage.succeed(0, true, now).is_some());
    }
    assert_eq!(stage.standings[0].ejections(), 4);
    now += 61 * SECOND;
    let time = time_of(stage.fails(0, 5, now));
    assert_eq!(stage.standings[0].ejections(), 3, "two were forgotten, one is new");
    assert!((81..=90).contains(&time.as_secs()), "{time:?}");
}

#[test]
fn only_a_part_may_go_but_one_always_except_the_only_one() {
    for (endpoints, percent, most) in
        [(1, 100, 0), (2, 10, 1), (9, 10, 1), (30, 10, 3), (4, 100, 3), (3, 0, 1)]
    {
        let mut stage = Stage::new(endpoints, Rules { most_percent: percent, ..rules() });
        let changes: Vec<_> = (0..endpoints).map(|endpoint| stage.fails(endpoint, 5, 0)).collect();
        let out = stage.standings.iter().filter(|standing| standing.is_out()).count();
        assert_eq!(out, most, "{endpoints} {percent}");
        assert!(changes[most..].iter().all(|change| *change == Some(Change::Spared)), "{changes:?}");
    }
}

#[test]
fn a_place_that_becomes_free_is_taken_by_the_next_failure() {
    let mut stage = Stage::new(3, rules());
    let now = time_of(stage.fails(0, 5, 0)).as_nanos() as Nanos;
    assert_eq!(stage.fails(1, 5, 0), Some(Change::Spared));
    assert!(stage.probe(0, now) && stage.succeed(0, true, now).is_some());
    time_of(stage.fail(1, false, now));
}

#[test]
fn what_was_not_noticed_is_put_right() {
    let mut stage = Stage::new(3, rules());
    time_of(stage.fails(0, 5, 0));
    let other = Ejector::new(rules());
    other.recount(stage.standings.iter());
    assert!(!other.may_probe(0) && other.may_probe(30 * SECOND));
    let spared = other.eject(&stage.standings[1], 3, Reason::Consecutive, 0, &mut stage.random);
    assert_eq!(spared, Some(Change::Spared));
}

#[test]
fn the_endpoint_that_fails_far_more_than_the_others_is_found() {
    let success_rate =
        SuccessRate { interval: Duration::from_secs(10), requests: 100, endpoints: 5, deviations: 1.9 };
    let rules = Rules { consecutive: 0, success_rate: Some(success_rate), ..rules() };
    let mut stage = Stage::new(10, rules);
    let mut found = Vec::new();
    for second in 0..40 {
        for endpoint in 0..10 {
            for n in 0..20 {
                // 99 of 100 answers are good; of the fourth endpoint, from a time on, 7 of 10.
                let bad = if endpoint == 3 && second >= 15 { n % 10 < 3 } else { n == 0 && second % 5 == 0 };
                if bad {
                    assert_eq!(stage.fail(endpoint, false, second * SECOND), None);
                } else {
                    stage.succeed(endpoint, false, second * SECOND);
                }
            }
        }
        let Stage { ejector, standings, random } = &mut stage;
        let standings: Vec<_> = standings.iter().collect();
        found.extend(
            ejector.compare(&standings, second * SECOND, random).into_iter().map(|(who, _)| (second, who)),
        );
    }
    assert_eq!(found, [(20, 3)], "at the end of the interval in which it began");
}

#[test]
fn rates_that_are_alike_eject_nobody() {
    let rates: Vec<(usize, f64)> = [0.99, 0.98, 0.985, 0.99, 0.979].into_iter().enumerate().collect();
    let least = threshold(&rates, 1.9);
    assert!(rates.iter().all(|(_, rate)| *rate >= least));
    assert!((threshold(&[(0, 0.5); 5], 1.9) - 0.5).abs() < 1e-9);
}
