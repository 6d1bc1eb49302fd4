//! The filter in the native harness: rules, paths, audit, and configurations that are wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod audit;
mod config;
mod connection;
mod readme;
mod rules;

use serde_json::Value;
use weir_filter_rbac::Rbac;
use weir_sdk::testing::Filter;

const WEB: &str = "spiffe://td/ns/shop/sa/web";

fn build(config: Value) -> Result<Filter<Rbac>, String> {
    Filter::<Rbac>::builder().name("access").build(config)
}

fn filter(config: Value) -> Filter<Rbac> {
    build(config).unwrap()
}
