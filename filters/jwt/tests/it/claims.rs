//! Times, issuer, audience, required claims, and how long each verdict is remembered.

use std::time::Duration;

use serde_json::{Value, json};
use weir_filter_jwt::Jwt;
use weir_sdk::testing::Filter;

use crate::signer::Signer;
use crate::{NOW, bearer, filter, signed};

/// The filter's verdict on a token with these claims: a reason, or "".
fn verdict(config: &Value, claims: &Value) -> String {
    let signer = Signer::new("HS256");
    let decision = bearer(&filter(&signer, config.clone()), &signer.token(claims.clone()));
    decision.reason().unwrap_or_default().to_owned()
}

#[test]
fn times_are_held_against_the_clock_with_its_skew() {
    for (claims, reason) in [
        (json!({ "exp": NOW + 1 }), ""),
        (json!({ "exp": NOW - 59 }), ""),
        (json!({ "exp": NOW - 60 }), "expired"),
        (json!({ "exp": NOW as f64 - 59.5 }), ""),
        (json!({ "exp": 0 }), "expired"),
        (json!({}), "malformed"),
        (json!({ "exp": null }), "malformed"),
        (json!({ "exp": (NOW + 1).to_string() }), "malformed"),
        (json!({ "exp": -1 }), "malformed"),
        (json!({ "exp": 1e300 }), "malformed"),
        // Milliseconds, where seconds are meant.
        (json!({ "exp": (NOW + 60) * 1_000 }), "malformed"),
        (json!({ "exp": NOW + 9, "nbf": NOW + 60 }), ""),
        (json!({ "exp": NOW + 9, "nbf": NOW + 61 }), "not_yet_valid"),
        (json!({ "exp": NOW + 9, "nbf": "now" }), "malformed"),
        (json!({ "exp": NOW + 9, "iat": NOW + 61 }), "not_yet_valid"),
        (json!({ "exp": NOW + 9, "iat": NOW - 1_000_000 }), ""),
    ] {
        assert_eq!(verdict(&json!({}), &claims), reason, "{claims}");
    }
    assert_eq!(verdict(&json!({ "skew": "0s" }), &json!({ "exp": NOW })), "expired");
    assert_eq!(verdict(&json!({ "require_exp": false }), &json!({})), "");
}

#[test]
fn a_token_can_be_too_old_before_it_expires() {
    let config = json!({ "max_age": "10m", "skew": "0s" });
    for (claims, reason) in [
        (json!({ "exp": NOW + 9, "iat": NOW - 599 }), ""),
        (json!({ "exp": NOW + 9, "iat": NOW - 600 }), "expired"),
        (json!({ "exp": NOW + 9 }), "malformed"),
    ] {
        assert_eq!(verdict(&config, &claims), reason, "{claims}");
    }
}

#[test]
fn issuer_and_audience_are_one_of_those_expected() {
    let (one, several) = (json!("a"), json!(["a", "b"]));
    for (key, claim, reason) in [("issuer", "iss", "issuer"), ("audience", "aud", "audience")] {
        for (expected, found, fits) in [
            (&one, json!("a"), true),
            (&one, json!("b"), false),
            (&one, json!("A"), false),
            (&one, json!(null), false),
            (&one, json!(7), false),
            (&several, json!("b"), true),
            (&several, json!("c"), false),
        ] {
            let claims = json!({ "exp": NOW + 9, (claim): found });
            let expected_reason = if fits { "" } else { reason };
            assert_eq!(verdict(&json!({ (key): expected }), &claims), expected_reason, "{claims}");
        }
        assert_eq!(verdict(&json!({ (key): one }), &json!({ "exp": NOW + 9 })), reason);
    }
    let aud = |aud| verdict(&json!({ "audience": ["a", "b"] }), &json!({ "exp": NOW + 9, "aud": aud }));
    assert_eq!(aud(json!(["x", "b"])), "");
    assert_eq!(aud(json!(["x", ["b"]])), "audience");
    assert_eq!(aud(json!([])), "audience");
}

#[test]
fn a_required_claim_that_is_not_met_is_forbidden() {
    let config = json!({ "require": [{ "claim": "realm.roles", "contains": "admin" }] });
    let (signer, _) = signed(json!({}));
    let filter = filter(&signer, config);
    let roles = |roles| signer.token(json!({ "exp": NOW + 9, "realm": { "roles": roles } }));
    assert!(bearer(&filter, &roles(json!(["user", "admin"]))).passage().is_some());
    let decision = bearer(&filter, &roles(json!(["user"])));
    assert_eq!((decision.status(), decision.reason()), (Some(403), Some("claim")));
}

#[test]
fn the_type_is_checked_if_config_names_one() {
    let (signer, _) = signed(json!({}));
    let filter = filter(&signer, json!({ "typ": "at+jwt" }));
    let claims = json!({ "exp": NOW + 9 }).to_string();
    for (header, fits) in [
        (r#"{"alg":"HS256","typ":"at+jwt"}"#, true),
        (r#"{"alg":"HS256","typ":"application/AT+JWT"}"#, true),
        (r#"{"alg":"HS256","typ":"JWT"}"#, false),
        (r#"{"alg":"HS256"}"#, false),
    ] {
        let decision = bearer(&filter, &signer.signed(header, &claims));
        assert_eq!(decision.passage().is_some(), fits, "{header}");
    }
}

#[test]
fn a_verdict_is_remembered_as_long_as_it_holds() {
    let (signer, _) = signed(json!({}));
    let filter = filter(&signer, json!({}));
    let keep = |claims| {
        let decision = bearer(&filter, &signer.token(claims));
        decision.passage().map(|passage| passage.keep_ms).or(decision.reply().map(|reply| reply.keep_ms))
    };
    assert_eq!(keep(json!({ "exp": NOW + 3_600 })), Some(60_000));
    assert_eq!(keep(json!({ "exp": NOW - 20 })), Some(40_000));
    assert_eq!(keep(json!({ "exp": NOW - 59 })), Some(1_000));
    assert_eq!(keep(json!({ "exp": NOW - 100 })), Some(10_000));
    assert_eq!(keep(json!({ "exp": NOW + 99, "nbf": NOW + 63 })), Some(3_000));
    assert_eq!(keep(json!({ "exp": NOW + 999, "nbf": NOW + 200 })), Some(10_000));
}

#[test]
fn what_is_remembered_is_never_longer_than_what_config_says() {
    let (signer, token) = signed(json!({}));
    let filter = filter(&signer, json!({ "remember": "5s", "remember_refused": "0s" }));
    assert_eq!(bearer(&filter, &token).passage().unwrap().keep_ms, 5_000);
    assert_eq!(bearer(&filter, "x").reply().unwrap().keep_ms, 0);
    filter.advance(Duration::from_secs(3_600 + 59));
    assert_eq!(bearer(&filter, &token).passage().unwrap().keep_ms, 1_000);
    // No value that changes each time is asked for: the proxy can remember.
    assert_eq!(filter.shown(), ["authorization"]);
}

#[test]
fn a_config_with_a_mistake_is_refused_with_the_key() {
    for (config, word) in [
        (json!({ "isuer": "a" }), "isuer"),
        (json!({ "issuer": [] }), "empty"),
        (json!({ "skew": "60" }), "60"),
        (json!({ "secret": "short" }), "secret"),
        (json!({ "realm": "a\"b" }), "realm"),
        (json!({ "prefix": "peer" }), "prefix"),
        (json!({ "facts": { "Sub": "sub" } }), "facts"),
        (json!({ "headers": { "host": "sub" } }), "host"),
        (json!({ "headers": { "a b": "sub" } }), "a b"),
        (json!({ "headers": { "Authorization": "sub" } }), "authorization"),
        (json!({ "token": { "header": "a", "cookie": "b" } }), "token"),
        (json!({ "token": { "cookie": "a", "scheme": "b" } }), "scheme"),
        (json!({ "token": {} }), "token"),
        (json!({ "require": [{ "claim": "a", "equals": 1, "contains": "b" }] }), "require"),
        (json!({ "keys": [{ "kty": "RSA" }] }), "keys"),
        (json!({ "keys": [{ "kty": "dsa" }] }), "dsa"),
    ] {
        let error = Filter::<Jwt>::new(config.clone()).err().unwrap_or_else(|| panic!("{config} was taken"));
        assert!(error.contains(word), "{config}: {error}");
    }
}
