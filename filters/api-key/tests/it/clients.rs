//! Who gets in, for how long, and what is told about them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{SESAME, SWORDFISH, filter, send};

#[test]
fn who_brings_a_known_key_gets_in_by_name() {
    let filter = filter(json!({}));
    let exchange = filter.request().header("X-Api-Key", "open-sesame").begin();
    assert_eq!(exchange.passage().keep_ms, 60_000);
    assert_eq!(exchange.fact("api.client").as_deref(), Some("ann"));
    assert_eq!(exchange.request_header("x-api-key"), None);
    assert_eq!(filter.shown(), ["x-api-key"]);
}

#[test]
fn who_brings_none_or_a_wrong_one_is_told_what_to_bring() {
    let filter = filter(json!({}));
    let challenge = [("www-authenticate".into(), "ApiKey realm=\"partners\"".into())];
    let missing = filter.request().send();
    let reply = missing.reply().unwrap();
    assert_eq!((reply.status, &*reply.reason, &reply.fields[..]), (401, "missing", &challenge[..]));
    let long = "x".repeat(5_000);
    // The digest itself opens nothing.
    for key in ["", "open-sesame2", "Open-sesame", SESAME, &long] {
        let decision = send(&filter, key);
        let reply = decision.reply().unwrap();
        assert_eq!((reply.status, &*reply.reason, reply.keep_ms), (401, "unknown", 10_000), "{key:.20}");
        assert_eq!(reply.fields, challenge);
    }
    assert_eq!(filter.request().header("x-api-key", b"\xff\xfe").send().reason(), Some("unknown"));
}

#[test]
fn a_client_can_be_switched_off_expire_and_be_kept_to_paths() {
    // The harness' clock begins at 2023-11-14T22:13:20Z.
    for (entry, path, reason, keep_ms) in [
        (json!({ "sha256": SESAME }), "/", None, 60_000),
        (json!({ "sha256": SESAME, "enabled": false }), "/", Some("disabled"), 10_000),
        (json!({ "sha256": SESAME, "expires": "2023-11-14T22:13:20Z" }), "/", Some("expired"), 10_000),
        (json!({ "sha256": SESAME, "expires": "2023-11-14T22:13:21Z" }), "/", None, 1_000),
        (json!({ "sha256": SESAME, "expires": "2024-01-01T00:00:00Z" }), "/", None, 60_000),
        (json!({ "sha256": SESAME, "paths": ["/users/"] }), "/users/7?x=/admin", None, 0),
        (json!({ "sha256": SESAME, "paths": ["/users", "/a"] }), "/a", None, 0),
        (json!({ "sha256": SESAME, "paths": ["/users"] }), "/admin", Some("path"), 0),
        (json!({ "sha256": SESAME, "paths": ["/users"] }), "/users/../admin", Some("path"), 0),
        (json!({ "sha256": SESAME, "paths": ["/"] }), "/anything", None, 0),
    ] {
        let filter = filter(json!({ "keys": { "ann": entry } }));
        let decision = filter.request().path(path).header("x-api-key", "open-sesame").send();
        assert_eq!(decision.reason(), reason, "{entry} {path}");
        let kept = decision.passage().map(|passage| passage.keep_ms);
        assert_eq!(kept.or(decision.reply().map(|reply| reply.keep_ms)), Some(keep_ms), "{entry} {path}");
        assert_eq!(decision.status(), reason.map(|_| 403));
    }
}

#[test]
fn a_client_that_is_known_expires_while_the_filter_runs() {
    let keys = json!({ "ann": { "sha256": SESAME, "expires": "2023-11-14T22:14:00Z" } });
    let filter = filter(json!({ "keys": keys }));
    assert!(send(&filter, "open-sesame").passage().is_some());
    filter.advance(Duration::from_secs(40));
    assert_eq!(send(&filter, "open-sesame").reason(), Some("expired"));
}

#[test]
fn labels_are_told_to_filters_and_to_the_origin() {
    let keys = json!({
        "ann": { "sha256": SESAME, "labels": { "tier": "gold", "team": "Käse & Brot" } },
        "bob": { "sha256": SWORDFISH },
    });
    let headers = json!({ "X-Client": "client", "x-tier": "tier" });
    let filter = filter(json!({ "keys": keys, "headers": headers, "prefix": "partner" }));
    let request = |key: &str| filter.request().header("x-api-key", key).header("x-tier", "forged").begin();
    let ann = request("open-sesame");
    for (fact, value) in [("client", "ann"), ("tier", "gold"), ("team", "Käse & Brot")] {
        assert_eq!(ann.fact(&format!("partner.{fact}")).as_deref(), Some(value));
    }
    assert_eq!(ann.request_header("x-client").as_deref(), Some("ann"));
    assert_eq!(ann.request_header("x-tier").as_deref(), Some("gold"));
    let bob = request("swordfish");
    assert_eq!(bob.fact("partner.client").as_deref(), Some("bob"));
    assert_eq!((bob.fact("partner.tier"), bob.request_header("x-tier")), (None, None));
}

#[test]
fn optional_lets_pass_who_brings_none_but_not_who_brings_a_wrong_one() {
    let filter = filter(json!({ "optional": true, "headers": { "x-client": "client" } }));
    let nobody = filter.request().header("x-client", "ann").begin();
    assert!(nobody.passed());
    assert_eq!((nobody.fact("api.client"), nobody.request_header("x-client")), (None, None));
    assert_eq!(send(&filter, "wrong").status(), Some(401));
}

#[test]
fn verdicts_are_remembered_as_config_says() {
    let filter = filter(json!({ "remember": "5s", "remember_refused": "0s" }));
    assert_eq!(send(&filter, "open-sesame").passage().unwrap().keep_ms, 5_000);
    assert_eq!(send(&filter, "wrong").reply().unwrap().keep_ms, 0);
    let none: Value = json!({ "keys": {} });
    assert_eq!(send(&crate::filter(none), "open-sesame").reason(), Some("unknown"));
}
