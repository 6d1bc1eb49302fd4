//! Splitting at random and by force; what the proxy is asked for.

use serde_json::json;
use weir_filter_canary::Canary;
use weir_sdk::Hooks;
use weir_sdk::testing::Filter;

use crate::{chosen, config, filter, request};

#[test]
fn without_more_it_is_one_call_with_a_random_number_and_nothing_else() {
    let filter = filter(json!({}));
    assert_eq!(filter.shown(), ["@random"]);
    assert_eq!(filter.hooks(), Hooks::REQUEST);
    let decision = request(&filter).send();
    let passage = decision.passage().unwrap();
    assert_eq!((passage.keep_ms, passage.facts.len(), passage.edits.len()), (0, 0, 0));
}

#[test]
fn the_split_follows_the_weights() {
    for (seed, weights, percent) in [(1, [90.0, 10.0], 10.0), (2, [999.0, 1.0], 0.1), (3, [1.0, 2.0], 66.667)]
    {
        let versions =
            json!([{ "label": "v1", "weight": weights[0] }, { "label": "v2", "weight": weights[1] }]);
        let config = json!({ "cluster": "users", "versions": versions });
        let filter = Filter::<Canary>::builder().seed(seed).build(config).unwrap();
        let count: u32 = 20_000;
        let got = (0..count).filter(|_| chosen(&request(&filter).send()) == "v2").count() as f64;
        let share = percent / 100.0;
        let slack = 5.0 * (f64::from(count) * share * (1.0 - share)).sqrt();
        assert!((got - f64::from(count) * share).abs() <= slack, "seed {seed}: {got} of {count}");
    }
}

#[test]
fn only_its_cluster_is_split() {
    let filter = filter(json!({}));
    let other = filter.request().route_cluster("other").begin();
    assert!(!other.shown());
    assert!(other.passage().route.is_none());
    assert!(!filter.request().begin().shown());
    let builder = Filter::<Canary>::builder().clusters(["other"]);
    assert!(builder.build(config(json!({}))).err().unwrap().contains("users"));
}

#[test]
fn a_caller_can_name_the_version() {
    let filter = filter(json!({ "force": { "header": "X-Version" }, "stop": {} }));
    for version in ["v1", "v2"] {
        let exchange = request(&filter).header("x-version", version).begin();
        assert_eq!(chosen(exchange.decision()), version);
        // Whoever tests does not count.
        assert_eq!(exchange.passage().memo, 0);
    }
    let exchange = request(&filter).header("x-version", "v3").begin();
    assert!(["v1", "v2"].contains(&chosen(exchange.decision()).as_str()));
    assert_ne!(exchange.passage().memo, 0);
}

#[test]
fn label_and_fact_have_the_names_that_config_gives() {
    let filter = filter(json!({ "label": "track", "fact": "canary.version" }));
    let exchange = request(&filter).begin();
    let (label, version) = &exchange.passage().route.as_ref().unwrap().subset[0];
    assert_eq!(&**label, "track");
    assert_eq!(exchange.fact("canary.version").as_deref(), Some(&**version));
}
