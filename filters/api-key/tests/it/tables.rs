//! Tables of keys: in config, from data, replaced while running, with mistakes.

use serde_json::json;
use weir_filter_api_key::ApiKey;
use weir_sdk::testing::Filter;

use crate::{SESAME, SWORDFISH, build, filter, send};

#[test]
fn a_new_table_replaces_the_old_one_and_leaves_the_keys_of_config() {
    let config = json!({ "keys": { "ann": SESAME } });
    let table = json!({ "bob": { "sha256": SWORDFISH, "labels": { "tier": "1" } } }).to_string();
    let filter = Filter::<ApiKey>::builder().data("keys", table).build(config).unwrap();
    assert!(send(&filter, "swordfish").passage().is_some());
    filter.update("keys", "{}").unwrap();
    assert_eq!(send(&filter, "swordfish").reason(), Some("unknown"));
    assert!(send(&filter, "open-sesame").passage().is_some());
}

#[test]
fn a_table_with_a_mistake_leaves_the_one_before() {
    let filter = filter(json!({}));
    filter.update("keys", json!({ "bob": SWORDFISH }).to_string()).unwrap();
    for bad in [
        "",
        "[]",
        r#"{"bob":"swordfish"}"#,
        r#"{"bob":{}}"#,
        r#"{"bob":{"sha256":[]}}"#,
        &format!(r#"{{"other":"{SESAME}"}}"#),
        &format!(r#"{{"a":"{SWORDFISH}","b":"sha256:{}"}}"#, SWORDFISH.to_uppercase()),
    ] {
        let error = filter.update("keys", bad).unwrap_err();
        assert!(!error.contains("swordfish"), "an error quotes a key: {error}");
        assert!(send(&filter, "swordfish").passage().is_some(), "{bad}");
    }
    assert!(filter.update("other", "{}").unwrap_err().contains("keys"));
}

#[test]
fn a_key_can_be_replaced_without_a_gap() {
    let keys = json!({ "ann": { "sha256": [SESAME, format!("sha256:{SWORDFISH}")] } });
    let filter = filter(json!({ "keys": keys }));
    for key in ["open-sesame", "swordfish"] {
        let exchange = filter.request().header("x-api-key", key).begin();
        assert_eq!(exchange.fact("api.client").as_deref(), Some("ann"));
    }
}

#[test]
fn a_config_with_a_mistake_is_refused_with_the_key() {
    for (config, word) in [
        (json!({ "kyes": {} }), "kyes"),
        (json!({ "keys": { "ann": "abc" } }), "64 hex"),
        (json!({ "keys": { "ann": "g".repeat(64) } }), "64 hex"),
        (json!({ "keys": { "ann": { "sha256": SESAME, "expire": "x" } } }), "expire"),
        (json!({ "keys": { "ann": { "sha256": SESAME, "expires": "soon" } } }), "RFC 3339"),
        (json!({ "keys": { "ann": { "sha256": SESAME, "paths": ["users"] } } }), "path"),
        (json!({ "keys": { "ann": { "sha256": SESAME, "labels": { "Tier": "x" } } } }), "Tier"),
        (json!({ "keys": { "ann": { "sha256": SESAME, "labels": { "client": "x" } } } }), "client"),
        (json!({ "keys": { "ann": { "sha256": SESAME, "labels": { "a": "x\r\ny" } } } }), "control"),
        (json!({ "keys": { "ann": SESAME, "bob": SESAME } }), "same key"),
        (json!({ "from": {} }), "from"),
        (json!({ "from": { "header": "a", "query": "b" } }), "from"),
        (json!({ "from": { "query": "a", "scheme": "b" } }), "scheme"),
        (json!({ "from": { "header": ":path" } }), "no name"),
        (json!({ "headers": { "host": "client" } }), "host"),
        (json!({ "headers": { "x-api-key": "client" } }), "x-api-key"),
        (json!({ "headers": { "a b": "client" } }), "a b"),
        (json!({ "prefix": "tls" }), "prefix"),
        (json!({ "realm": "\"" }), "realm"),
        (json!({ "remember": "1" }), "10s"),
    ] {
        let error = build(config.clone()).err().unwrap_or_else(|| panic!("{config} was taken"));
        assert!(error.contains(word), "{config}: {error}");
    }
}
