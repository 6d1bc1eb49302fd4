//! Configurations that are wrong say where, what, and what to do.

use serde_json::{Value, json};

use crate::{build, filter};

#[test]
fn a_config_with_a_mistake_is_refused_with_its_place() {
    let rule = |keys: Value| {
        let mut rule = json!({ "name": "one" });
        rule.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        json!({ "allow": [{ "name": "zero" }, rule] })
    };
    for (config, words) in [
        (json!({}), &["no `allow` rule", "allow = [{"][..]),
        (json!({ "allow": [], "deny": [{ "name": "a" }] }), &["no `allow` rule"]),
        (json!({ "allows": [] }), &["allows"]),
        (json!({ "allow": [{ "from": "anonymous" }] }), &["name"]),
        (json!({ "allow": [{ "name": "A b" }] }), &["`allow` rule 1 (\"A b\")", "a-z"]),
        (
            json!({ "allow": [{ "name": "a" }], "deny": [{ "name": "a" }] }),
            &["`allow` rule 1 (\"a\")", "already"],
        ),
        (json!({ "allow": [{ "name": "a-b" }, { "name": "a_b" }] }), &["`allow` rule 2", "differs in"]),
        (json!({ "allow": [{ "name": "n".repeat(49) }] }), &["1 to 48"]),
        (rule(json!({ "form": "x" })), &["form"]),
        (rule(json!({ "from": "web" })), &["`allow` rule 2 (\"one\"): `from`", "spiffe://"]),
        (rule(json!({ "from": "spiffe://td" })), &["`from`", "spiffe://trust-domain/**"]),
        (rule(json!({ "from": "spiffe://*/a" })), &["`from`", "trust domain"]),
        (rule(json!({ "from": "spiffe://td/w*" })), &["`from`", "within a segment"]),
        (rule(json!({ "from": "spiffe://td/**/a" })), &["`from`", "before its end"]),
        (rule(json!({ "from": [] })), &["`from`", "empty"]),
        (rule(json!({ "address": "10.0.0.1/8" })), &["`address`", "count for nothing"]),
        (rule(json!({ "address": "web" })), &["`address`", "10.0.0.0/8"]),
        (rule(json!({ "sni": "*" })), &["`sni`", "*.example"]),
        (rule(json!({ "listener": [] })), &["`listener`", "empty"]),
        (rule(json!({ "method": "get" })), &["`method`", "capitals"]),
        (rule(json!({ "path": "users" })), &["`path`", "begins with"]),
        (rule(json!({ "path_prefix": "/a/../b" })), &["`path_prefix`", "all read alike"]),
        (rule(json!({ "headers": { "a b": "c" } })), &["`headers`", "a b"]),
        (rule(json!({ "headers": { "x": [] } })), &["`headers.x`", "empty"]),
        (rule(json!({ "headers": { "x": {} } })), &["`headers.x`", "exactly one"]),
        (rule(json!({ "facts": { "@": "c" } })), &["`facts`"]),
        (
            rule(json!({ "facts": { "a": { "prefix": "x", "present": true } } })),
            &["`facts.a`", "exactly one"],
        ),
        (json!({ "allow": [{ "name": "a" }], "remember": "1" }), &["10s"]),
    ] {
        let error = build(config.clone()).err().unwrap_or_else(|| panic!("{config} was taken"));
        assert!(words.iter().all(|word| error.contains(word)), "{config}: {error}");
    }
}

#[test]
fn more_rules_than_counters_share_one() {
    let rules: Vec<Value> =
        (0..60).map(|n| json!({ "name": format!("r{n}"), "path": format!("/{n}") })).collect();
    let filter = filter(json!({ "allow": rules }));
    for path in ["/0", "/55", "/56", "/59"] {
        assert!(filter.request().path(path).send().passage().is_some());
    }
    assert_eq!(filter.metric("allowed_by_r55"), 1);
    assert_eq!(filter.metric("allowed_by_others"), 2);
    let many: Vec<Value> = (0..1001).map(|n| json!({ "name": format!("r{n}") })).collect();
    assert!(build(json!({ "allow": many })).err().unwrap().contains("1000"));
}
