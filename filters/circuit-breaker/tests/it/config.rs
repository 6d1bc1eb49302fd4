//! What a wrong config is told.

use serde_json::json;
use weir_filter_circuit_breaker::CircuitBreaker;
use weir_sdk::testing::Filter;

#[test]
fn wrong_configs_are_refused_with_the_reason() {
    for (config, reason) in [
        (json!({}), "cluster"),
        (json!({ "cluster": "a", "open_at": { "failures": 0.0 } }), "open_at.failures"),
        (json!({ "cluster": "a", "open_at": { "failures": 50 } }), "open_at.failures"),
        (json!({ "cluster": "a", "open_at": { "of": 0 } }), "open_at.of"),
        (json!({ "cluster": "a", "open_at": { "within": "1h" } }), "open_at.within"),
        (json!({ "cluster": "a", "open_at": { "in_a_row": 101 } }), "in_a_row"),
        (json!({ "cluster": "a", "open_at": { "inarow": 1 } }), "inarow"),
        (json!({ "cluster": "a", "open_for": "2m" }), "open_at_most"),
        (json!({ "cluster": "a", "probe_timeout": "0s" }), "probe_timeout"),
        (json!({ "cluster": "a", "fallback": {} }), "one of"),
        (json!({ "cluster": "a", "fallback": { "cluster": "a" } }), "broken"),
        (json!({ "cluster": "a", "fallback": { "reply": { "status": 99 } } }), "200 to 599"),
        (
            json!({ "cluster": "a", "fallback": { "reply": { "status": 200, "headers": { "a b": "" } } } }),
            "a b",
        ),
        (json!({ "cluster": "a", "failures": { "statuses": ["6xx"] } }), "6xx"),
    ] {
        let Err(error) = Filter::<CircuitBreaker>::new(config.clone()) else {
            panic!("{config} was accepted")
        };
        assert!(error.contains(reason), "{config}: {error}");
    }
}
