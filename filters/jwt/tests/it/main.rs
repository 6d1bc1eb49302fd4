//! The filter in the native harness: real tokens, real signatures, a clock that stands still.
#![allow(missing_docs, clippy::unwrap_used)]

mod algorithms;
mod claims;
mod hostile;
mod keys;
mod places;
mod readme;
mod signer;
mod telling;

use serde_json::{Value, json};
use weir_filter_jwt::Jwt;
use weir_sdk::testing::Filter;

use crate::signer::Signer;

/// The harness' clock, in s.
const NOW: i64 = 1_700_000_000;

/// A filter with this config, and the signer's key as its key set.
fn filter(signer: &Signer, config: Value) -> Filter<Jwt> {
    let set = json!({ "keys": [signer.jwk()] }).to_string();
    Filter::<Jwt>::builder().name("login").data("jwks", set).build(config).unwrap()
}

fn bearer(filter: &Filter<Jwt>, token: &str) -> weir_sdk::Decision {
    filter.request().header("authorization", format!("Bearer {token}")).send()
}

/// A secret's signer, and a token of its that is fine until an hour from now.
fn signed(mut claims: Value) -> (Signer, String) {
    let signer = Signer::new("HS256");
    let object = claims.as_object_mut().unwrap();
    object.entry("exp").or_insert(json!(NOW + 3_600));
    let token = signer.token(claims);
    (signer, token)
}
