//! Key sets: chosen by `kid`, replaced while running, kept when the new one is useless.

use serde_json::{Value, json};
use weir_filter_jwt::Jwt;
use weir_sdk::Level;
use weir_sdk::testing::Filter;

use crate::signer::Signer;
use crate::{NOW, bearer};

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn fresh(signer: &Signer) -> String {
    signer.token(json!({ "exp": NOW + 60 }))
}

#[test]
fn a_key_is_chosen_by_its_id() {
    let (a, b) = (Signer::new("ES256").kid("a"), Signer::new("ES256").kid("b"));
    let filter = Filter::<Jwt>::builder().data("jwks", set(&[a.jwk(), b.jwk()])).build(json!({})).unwrap();
    assert!(bearer(&filter, &fresh(&a)).passage().is_some());
    assert!(bearer(&filter, &fresh(&b)).passage().is_some());
    assert_eq!(filter.metric("signatures_checked"), 2);
    assert_eq!(bearer(&filter, &fresh(&a.kid("b"))).reason(), Some("signature"));
    assert_eq!(bearer(&filter, &fresh(&b.kid("c"))).reason(), Some("no_keys"));
}

#[test]
fn without_an_id_the_keys_that_fit_are_tried_up_to_a_bound() {
    let signers: Vec<Signer> = (0..9).map(|_| Signer::new("ES256")).collect();
    let mut keys: Vec<Value> = vec![Signer::new("EdDSA").jwk()];
    keys.extend(signers.iter().map(Signer::jwk));
    let filter = Filter::<Jwt>::builder().data("jwks", set(&keys)).build(json!({})).unwrap();
    assert!(bearer(&filter, &fresh(&signers[0])).passage().is_some());
    assert!(bearer(&filter, &fresh(&signers[7])).passage().is_some());
    assert_eq!(filter.metric("signatures_checked"), 9);
    assert_eq!(bearer(&filter, &fresh(&signers[8])).reason(), Some("signature"));
    assert_eq!(filter.metric("signatures_checked"), 17);
}

#[test]
fn a_new_set_replaces_the_old_one_and_leaves_the_keys_of_config() {
    let (own, old, new) =
        (Signer::new("EdDSA"), Signer::new("ES256").kid("1"), Signer::new("ES384").kid("2"));
    let config = json!({ "keys": [own.jwk()], "secret": "0123456789abcdef".repeat(4) });
    let filter = Filter::<Jwt>::builder().data("jwks", set(&[old.jwk()])).build(config).unwrap();
    assert!(bearer(&filter, &fresh(&old)).passage().is_some());
    filter.update("jwks", set(&[new.jwk()])).unwrap();
    assert_eq!(bearer(&filter, &fresh(&old)).reason(), Some("no_keys"));
    for signer in [&own, &new, &Signer::new("HS256").kid("any")] {
        assert!(bearer(&filter, &fresh(signer)).passage().is_some());
    }
}

#[test]
fn a_set_without_a_usable_key_leaves_the_keys_known_before() {
    let (own, old) = (Signer::new("EdDSA"), Signer::new("ES256"));
    let filter = Filter::<Jwt>::builder()
        .data("jwks", set(&[old.jwk()]))
        .build(json!({ "keys": [own.jwk()] }))
        .unwrap();
    let encryption = json!({ "kty": "oct", "k": "A".repeat(64), "use": "enc" });
    for bad in [
        set(&[]),
        set(&[encryption]),
        set(&[json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" })]),
        set(&[json!("text"), json!({ "kty": "PQC" })]),
        set(&vec![old.jwk(); 257]),
        "not json".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
    ] {
        assert!(filter.update("jwks", &bad).is_err(), "{:.60}", bad);
        for signer in [&own, &old] {
            assert!(bearer(&filter, &fresh(signer)).passage().is_some());
        }
    }
    assert!(filter.update("other", set(&[old.jwk()])).unwrap_err().contains("jwks"));
}

#[test]
fn a_key_that_cannot_be_used_is_passed_over_and_named() {
    let good = Signer::new("ES256");
    let bad = json!({ "kty": "EC", "crv": "P-256", "kid": "bad-one", "x": "AA", "y": "AA" });
    let filter = Filter::<Jwt>::builder().data("jwks", set(&[bad, good.jwk()])).build(json!({})).unwrap();
    assert!(bearer(&filter, &fresh(&good)).passage().is_some());
    let lines = filter.log_lines();
    assert!(matches!(&lines[..], [(Level::Warn, line)] if line.contains("bad-one")), "{lines:?}");
}

#[test]
fn errors_about_keys_hold_no_key_material() {
    let filter = Filter::<Jwt>::new(json!({})).unwrap();
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ";
    for content in [
        set(&[json!({ "kty": "oct", "k": secret, "use": "enc" })]),
        format!(r#"{{"keys":"{secret}"}}"#),
        set(&[json!({ "kty": ["oct"], "k": secret })]),
    ] {
        let error = filter.update("jwks", content).unwrap_err();
        assert!(!error.contains(secret), "{error}");
    }
}
