//! The router through the native harness.
#![allow(missing_docs, clippy::unwrap_used)]

mod actions;
mod config;
mod matching;
mod naive;
mod readme;

use serde_json::{Value, json};
use weir_filter_router::Router;
use weir_sdk::Decision;
use weir_sdk::testing::Filter;

/// A router with these routes.
fn router(routes: Value) -> Filter<Router> {
    Filter::new(json!({ "routes": routes })).unwrap()
}

/// The name of the route that was chosen, if the request passed.
fn chosen(decision: &Decision) -> Option<String> {
    let route = decision.passage()?.route.as_ref()?;
    Some(route.name.as_deref()?.to_owned())
}

/// Why a config is refused.
fn refused(config: Value) -> String {
    match Filter::<Router>::new(config.clone()) {
        Ok(_) => panic!("{config} was accepted"),
        Err(error) => error,
    }
}
