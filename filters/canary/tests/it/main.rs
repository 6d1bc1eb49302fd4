//! The filter in the native harness: callers, stages, stops, and several workers in one world.
#![allow(missing_docs, clippy::unwrap_used)]

mod config;
mod readme;
mod rollout;
mod split;
mod sticky;
mod stop;

use serde_json::{Value, json};
use weir_filter_canary::Canary;
use weir_sdk::testing::{Exchange, Filter, RequestBuilder};
use weir_sdk::{Decision, Outcome};

/// Nine of ten to v1, and what else the test wants.
fn filter(more: Value) -> Filter<Canary> {
    Filter::<Canary>::new(config(more)).unwrap()
}

fn config(more: Value) -> Value {
    let versions = json!([{ "label": "v1", "weight": 90 }, { "label": "v2", "weight": 10 }]);
    let mut config = json!({ "cluster": "users", "versions": versions });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

/// A request that earlier filters sent to the canary's cluster.
fn request(filter: &Filter<Canary>) -> RequestBuilder<Canary> {
    filter.request().route_cluster("users")
}

/// The version a decision asks for.
fn chosen(decision: &Decision) -> String {
    let route = decision.passage().unwrap().route.as_ref().expect("a route");
    let [(label, version)] = &route.subset[..] else { panic!("{route:?}") };
    assert_eq!(&**label, "version");
    version.to_string()
}

/// The version a user gets, by the header `x-user`.
fn version_of(filter: &Filter<Canary>, user: &str) -> String {
    chosen(&request(filter).header("x-user", user).send())
}

/// How many of `users` users get v2, in percent.
fn share_of_v2(filter: &Filter<Canary>, users: u32) -> f64 {
    let got = (0..users).filter(|user| version_of(filter, &format!("user-{user}")) == "v2").count();
    got as f64 * 100.0 / f64::from(users)
}

/// How an exchange with the cluster ends.
fn outcome(filter: &Filter<Canary>, exchange: &Exchange<Canary>, status: u16, ms: u64) -> Outcome {
    let cluster = Some(filter.cluster("users"));
    Outcome { cluster, status, upstream_us: ms * 1_000, ..exchange.outcome() }
}
