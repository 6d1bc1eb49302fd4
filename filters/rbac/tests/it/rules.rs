//! What fits a rule, and what rules come to together.

use serde_json::{Value, json};

use crate::{WEB, filter};

/// Why a request of `WEB` is denied by one rule that allows; none: it is allowed.
fn allowed(rule: Value, method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
    let mut named = json!({ "name": "one" });
    named.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let filter = filter(json!({ "allow": [named] }));
    let request = filter.request().peer_identity(WEB).method(method).path(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send().passage().is_some()
}

#[test]
fn a_rule_without_conditions_allows_everything_and_asks_for_nothing() {
    let filter = filter(json!({ "allow": [{ "name": "all" }] }));
    let exchange = filter.request().begin();
    assert!(exchange.passed());
    assert_eq!(exchange.fact("rbac.rule").as_deref(), Some("all"));
    assert_eq!(exchange.passage().keep_ms, 60_000);
    assert!(filter.shown().is_empty());
}

#[test]
fn only_values_that_rules_name_are_asked_for() {
    let filter = filter(json!({
        "deny": [{ "name": "a", "method": "TRACE" }],
        "allow": [{ "name": "b", "from": WEB, "headers": { "X-Env": "prod" }, "facts": { "@auth.role": "admin" } }],
    }));
    let mut shown = filter.shown();
    shown.sort_unstable();
    assert_eq!(shown, [":method", "@auth.role", "@peer.identity", "x-env"]);
}

#[test]
fn callers_are_told_apart_by_their_ids() {
    for (pattern, fits) in [
        (WEB, true),
        ("spiffe://td/ns/*/sa/web", true),
        ("spiffe://td/ns/**", true),
        ("spiffe://td/**", true),
        ("spiffe://td/ns/shop/sa", false),
        ("spiffe://td/ns/shop/sa/web/more", false),
        ("spiffe://td/ns/*", false),
        ("spiffe://td/ns/shop/sa/web2", false),
        ("spiffe://other/**", false),
        ("anonymous", false),
    ] {
        assert_eq!(allowed(json!({ "from": pattern }), "GET", "/", &[]), fits, "{pattern}");
    }
    let strangers = filter(json!({ "allow": [{ "name": "strangers", "from": ["anonymous"] }] }));
    assert!(strangers.request().send().passage().is_some());
    assert!(strangers.request().peer_identity(WEB).send().passage().is_none());
    let known = filter(json!({ "allow": [{ "name": "known", "from": "spiffe://td/**" }] }));
    assert_eq!(known.request().send().reason(), Some("no_rule"));
}

#[test]
fn methods_paths_and_fields_have_to_fit_all() {
    let rule = || json!({ "method": ["GET", "HEAD"], "path": "/health", "path_prefix": "/users/" });
    for (method, path, fits) in [
        ("GET", "/users", true),
        ("HEAD", "/users/7?x=/admin", true),
        ("GET", "/health", true),
        ("GET", "/health/", false),
        ("GET", "/health/x", false),
        ("POST", "/users", false),
        ("GET", "/users2", false),
        ("GET", "/%75sers/7", true),
        ("GET", "/users/../admin", false),
        ("GET", "/users//7", false),
        ("GET", "/users/%2e%2e/admin", false),
        ("GET", "/users;x/7", false),
    ] {
        assert_eq!(allowed(rule(), method, path, &[]), fits, "{method} {path}");
    }
    let headers = |value: Value| json!({ "headers": { "x-env": value } });
    for (test, values, fits) in [
        (json!("prod"), &["prod"][..], true),
        (json!(["test", "prod"]), &["prod"], true),
        (json!("prod"), &["prod", "prod"], false),
        (json!("prod"), &["test"], false),
        (json!("prod"), &[], false),
        (json!({ "prefix": "pro" }), &["prod"], true),
        (json!({ "prefix": "pro" }), &["test"], false),
        (json!({ "word": "b" }), &["a b,c"], true),
        (json!({ "word": ["x", "c"] }), &["a b,c"], true),
        (json!({ "word": "a b" }), &["a b,c"], false),
        (json!({ "present": true }), &["x"], true),
        (json!({ "present": true }), &[], false),
        (json!({ "present": false }), &[], true),
        (json!({ "present": false }), &["x"], false),
    ] {
        let fields: Vec<_> = values.iter().map(|value| ("x-env", *value)).collect();
        assert_eq!(allowed(headers(test.clone()), "GET", "/", &fields), fits, "{test} {values:?}");
    }
}

#[test]
fn facts_of_earlier_filters_count_and_fields_of_the_same_name_do_not() {
    let filter = filter(json!({ "allow": [
        { "name": "admins", "facts": { "auth.role": ["admin", "owner"], "auth.scope": { "word": "write" } } },
    ] }));
    let ask = || filter.request().header("auth.role", "admin").header("auth.scope", "write");
    assert_eq!(ask().send().reason(), Some("no_rule"));
    assert!(ask().fact("auth.role", "owner").fact("auth.scope", "read write").send().passage().is_some());
    assert_eq!(ask().fact("auth.role", "owner").fact("auth.scope", "rewrite").send().status(), Some(403));
}

#[test]
fn what_denies_comes_first_and_what_nothing_allows_is_denied() {
    let filter = filter(json!({
        "deny": [
            { "name": "no-admin", "path_prefix": "/admin" },
            { "name": "no-debug", "headers": { "x-debug": "1" } },
            { "name": "exact", "path": "/secret" },
        ],
        "allow": [{ "name": "web", "from": WEB }, { "name": "rest", "method": "OPTIONS" }],
    }));
    let ask = |path: &str| filter.request().peer_identity(WEB).path(path);
    for (path, reason) in [
        ("/", None),
        ("/administer", None),
        ("/admin", Some("no-admin")),
        ("/admin/x", Some("no-admin")),
        ("/%61dmin", Some("no-admin")),
        // Who knows what an origin makes of these.
        ("/x/../admin", Some("no-admin")),
        ("//admin", Some("no-admin")),
        ("/admin;x", Some("no-admin")),
        ("/secret/", Some("exact")),
    ] {
        let decision = ask(path).send();
        assert_eq!(decision.reason(), reason, "{path}");
        assert_eq!(decision.status(), reason.map(|_| 403), "{path}");
    }
    let doubled = ask("/").header("x-debug", "0").header("x-debug", "1").send();
    assert_eq!(doubled.reason(), Some("no-debug"));
    let stranger = filter.request().path("/").send();
    let reply = stranger.reply().unwrap();
    assert_eq!((reply.status, &*reply.reason, reply.keep_ms, reply.body.len()), (403, "no_rule", 60_000, 0));
    assert_eq!(filter.metric("denied_by_no_rule"), 1);
    assert_eq!(filter.metric("denied_by_no_admin"), 6);
    assert_eq!(filter.metric("allowed_by_web"), 2);
    assert_eq!(filter.metric("allowed_by_rest"), 0);
}

#[test]
fn decisions_are_remembered_as_long_as_config_says() {
    let filter = filter(json!({ "allow": [{ "name": "all", "method": "GET" }], "remember": "0s" }));
    assert_eq!(filter.request().begin().passage().keep_ms, 0);
    assert_eq!(filter.request().method("POST").send().reply().unwrap().keep_ms, 0);
}
