//! A schedule: from a given time or the first load, on all workers, over swaps.

use std::time::Duration;

use serde_json::{Value, json};
use weir_sdk::Level;

use crate::{config, filter, request, share_of_v2, version_of};

fn staged(more: Value) -> Value {
    let stages = json!([
        { "after": "0s", "weight": 1.0 }, { "after": "10m", "weight": 25 }, { "after": "1h", "weight": 100 }
    ]);
    let mut staged = json!({ "sticky": { "header": "x-user" }, "stages": stages });
    staged.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    staged
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 3.5, "{found} % instead of {expected} %");
}

#[test]
fn the_share_follows_the_stages_from_the_first_load() {
    let filter = filter(staged(json!({})));
    assert_near(share_of_v2(&filter, 2_000), 1.0);
    filter.advance(Duration::from_secs(599));
    assert_near(share_of_v2(&filter, 2_000), 1.0);
    // A swap and a new worker go on from the same start.
    let swapped = filter.swapped(config(staged(json!({ "remember": "9s" })))).unwrap();
    filter.advance(Duration::from_secs(1));
    for filter in [&filter, &filter.another().unwrap(), &swapped] {
        assert_near(share_of_v2(filter, 2_000), 25.0);
    }
    filter.advance(Duration::from_secs(50 * 60));
    assert_eq!(share_of_v2(&filter, 200), 100.0);
}

#[test]
fn a_stage_is_told_once() {
    let filter = filter(staged(json!({})));
    let other = filter.another().unwrap();
    for _ in 0..3 {
        for filter in [&filter, &other] {
            version_of(filter, "ann");
            version_of(filter, "ann");
        }
        filter.advance(Duration::from_secs(10 * 60));
    }
    let lines = filter.log_lines();
    let told = ["stage 1 of 3: the candidate gets 1 %", "stage 2 of 3: the candidate gets 25 %"];
    assert_eq!(lines, told.map(|line| (Level::Info, line.to_owned())));
}

#[test]
fn a_decision_is_remembered_no_longer_than_its_stage() {
    let filter = filter(staged(json!({})));
    let keep = || request(&filter).header("x-user", "ann").send().passage().unwrap().keep_ms;
    assert_eq!(keep(), 60_000);
    filter.advance(Duration::from_secs(595));
    assert_eq!(keep(), 5_000);
    filter.advance(Duration::from_secs(5));
    assert_eq!(keep(), 60_000);
}

#[test]
fn a_start_in_the_future_gives_the_candidate_nothing_until_then() {
    // The harness' clock begins at 2023-11-14T22:13:20Z.
    let filter = filter(staged(json!({ "start": "2023-11-14T22:14:20Z" })));
    assert_eq!(share_of_v2(&filter, 300), 0.0);
    filter.advance(Duration::from_secs(60 + 600));
    assert_near(share_of_v2(&filter, 2_000), 25.0);
}

#[test]
fn a_new_generation_or_candidate_begins_anew() {
    let filter = filter(staged(json!({})));
    filter.advance(Duration::from_secs(3_600));
    assert_eq!(share_of_v2(&filter, 100), 100.0);
    let again = filter.swapped(config(staged(json!({ "generation": 1 })))).unwrap();
    assert_near(share_of_v2(&again, 2_000), 1.0);
    let versions = json!([{ "label": "v2", "weight": 1 }, { "label": "v3" }]);
    let next = filter.swapped(config(staged(json!({ "versions": versions })))).unwrap();
    assert_near(100.0 - share_of_v2(&next, 2_000), 1.0);
}

#[test]
fn without_stickiness_the_time_is_shown_and_nothing_is_called_for() {
    let filter = filter(staged(json!({ "sticky": null })));
    assert_eq!(filter.shown(), ["@random", "@time.ms"]);
    filter.advance(Duration::from_secs(3_600));
    assert_eq!(share_of_v2(&filter, 50), 100.0);
}
