//! Configurations with a mistake.

use serde_json::json;
use weir_filter_canary::Canary;
use weir_sdk::testing::Filter;

use crate::config;

#[test]
fn a_config_with_a_mistake_is_refused_with_the_key() {
    let v = |label: &str, weight: f64| json!({ "label": label, "weight": weight });
    for (more, word) in [
        (json!({ "versoins": [] }), "versoins"),
        (json!({ "versions": [] }), "versions"),
        (json!({ "versions": [v("v1", -1.0), v("v2", 2.0)] }), "v1"),
        (json!({ "versions": [v("v1", 0.0), v("v2", 0.0)] }), "above 0"),
        (json!({ "versions": [v("v1", 1.0), v("v1", 1.0)] }), "twice"),
        (json!({ "versions": [v("v1", 1.0), { "label": "v2" }] }), "v2"),
        (json!({ "candidate": "v3" }), "v3"),
        (json!({ "sticky": {} }), "sticky"),
        (json!({ "sticky": { "header": "a", "cookie": "b" } }), "sticky"),
        (json!({ "sticky": { "address": true, "identity": true } }), "sticky"),
        (json!({ "sticky": { "header": "a", "set": true } }), "set"),
        (json!({ "sticky": { "cookie": "a b" } }), "a b"),
        (json!({ "stages": [{ "after": "1m", "weight": 1 }, { "after": "1m", "weight": 2 }] }), "stages"),
        (json!({ "stages": [{ "after": "1m", "weight": 101 }] }), "stages"),
        (json!({ "stages": [{ "after": "1", "weight": 1 }] }), "10s"),
        (json!({ "start": "2026-01-01T00:00:00Z" }), "start"),
        (json!({ "start": "tomorrow", "stages": [{ "after": "0s", "weight": 1 }] }), "RFC 3339"),
        (json!({ "versions": [v("v1", 0.0), v("v2", 1.0)], "stop": {} }), "candidate"),
        (json!({ "stop": { "failures_above": 1.5 } }), "failures_above"),
        (json!({ "stop": { "latency_ratio": 1.0 } }), "latency_ratio"),
        (json!({ "stop": { "window": "1ms" } }), "window"),
        (json!({ "stop": { "min_requests": 0 } }), "at least one"),
    ] {
        let error = Filter::<Canary>::new(config(more.clone())).err().unwrap_or_else(|| panic!("{more}"));
        assert!(error.contains(word), "{more}: {error}");
    }
}
