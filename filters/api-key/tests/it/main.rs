//! The filter in the native harness: keys, clients, places, and tables that change.
#![allow(missing_docs, clippy::unwrap_used)]

mod clients;
mod places;
mod readme;
mod tables;

use serde_json::{Value, json};
use weir_filter_api_key::ApiKey;
use weir_sdk::Decision;
use weir_sdk::testing::Filter;

/// `printf open-sesame | sha256sum`
const SESAME: &str = "d7ecdf25eaf3deba0f2628771dbdd22d4138ab6cf38f91ed02a2ca0dec7c8ab7";
/// `printf swordfish | sha256sum`
const SWORDFISH: &str = "b9f195c5cc7ef6afadbfbc42892ad47d3b24c6bc94bb510c4564a90a14e8b799";

fn build(config: Value) -> Result<Filter<ApiKey>, String> {
    Filter::<ApiKey>::builder().name("partners").build(config)
}

/// Ann's key is "open-sesame"; what else the test wants.
fn filter(more: Value) -> Filter<ApiKey> {
    let mut config = json!({ "keys": { "ann": SESAME } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    build(config).unwrap()
}

/// What becomes of a request with this `x-api-key`.
fn send(filter: &Filter<ApiKey>, key: &str) -> Decision {
    filter.request().header("x-api-key", key).send()
}
