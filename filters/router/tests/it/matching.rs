//! What each match demands, as a table: match, request, whether it matches.

use serde_json::json;
use weir_sdk::Hooks;

use super::{chosen, router};

/// Whether a route with this match gets the request, which is a method, an authority, a path and fields.
fn gets(matches: serde_json::Value, request: (&str, &str, &str, &[(&str, &str)])) -> bool {
    let filter = router(json!([{ "name": "it", "match": matches, "cluster": "origin" }]));
    let (method, authority, path, fields) = request;
    let mut builder = filter.request().method(method).authority(authority).path(path);
    for (name, value) in fields {
        builder = match *name {
            "@identity" => builder.peer_identity(value),
            _ => builder.header(name, value),
        };
    }
    let decision = builder.send();
    if decision.passage().is_none() {
        assert_eq!((decision.status(), decision.reason()), (Some(404), Some("no_route")));
    }
    chosen(&decision).is_some()
}

#[test]
fn hosts_match_without_case_and_port() {
    for (host, authority, expected) in [
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com:8080", true),
        ("Example.com", "example.com.", true),
        ("example.com", "www.example.com", false),
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "a.b.example.com:1", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "badexample.com", false),
        ("*", "anything", true),
        ("[::1]", "[::1]:8080", true),
    ] {
        assert_eq!(
            gets(json!({ "host": host }), ("GET", authority, "/", &[])),
            expected,
            "{host} {authority}"
        );
    }
    let several = json!({ "host": ["a.test", "*.b.test"] });
    assert!(gets(several.clone(), ("GET", "a.test", "/", &[])));
    assert!(gets(several.clone(), ("GET", "x.b.test", "/", &[])));
    assert!(!gets(several, ("GET", "c.test", "/", &[])));
}

#[test]
fn paths_match_whole_by_segment_and_by_regex() {
    for (matches, path, expected) in [
        (json!({ "path": "/users" }), "/users", true),
        (json!({ "path": "/users" }), "/users?q=1", true),
        (json!({ "path": "/users" }), "/users/", false),
        (json!({ "path": "/users" }), "/Users", false),
        (json!({ "path_prefix": "/users" }), "/users", true),
        (json!({ "path_prefix": "/users" }), "/users/7", true),
        (json!({ "path_prefix": "/users" }), "/users7", false),
        (json!({ "path_prefix": "/users/" }), "/users", true),
        (json!({ "path_prefix": "/" }), "/", true),
        (json!({ "path_prefix": "/" }), "/x//y", true),
        (json!({ "path_prefix": "/a/b" }), "/a", false),
        (json!({ "path_prefix": "/a/b" }), "/a/b/", true),
        (json!({ "path_regex": "/users/[0-9]+" }), "/users/7", true),
        (json!({ "path_regex": "/users/[0-9]+" }), "/users/7/x", false),
        (json!({ "path_regex": "/users/[0-9]+" }), "/users/x", false),
        (json!({ "path_regex": "(?i)/users|/people" }), "/PEOPLE", true),
        (json!({ "path_regex": ".*/end" }), "/a/b/end", true),
        (json!({}), "*", true),
    ] {
        assert_eq!(gets(matches.clone(), ("GET", "test", path, &[])), expected, "{matches} {path}");
    }
}

#[test]
fn methods_fields_query_and_identity_match() {
    let td: &[(&str, &str)] = &[("@identity", "spiffe://td/ns/a/sa/web")];
    for (matches, method, path, fields, expected) in [
        (json!({ "method": "POST" }), "POST", "/", &[][..], true),
        (json!({ "method": "POST" }), "GET", "/", &[], false),
        (json!({ "method": ["PUT", "POST"] }), "POST", "/", &[], true),
        (json!({ "headers": [{ "name": "X-A" }] }), "GET", "/", &[("x-a", "")], true),
        (json!({ "headers": [{ "name": "x-a" }] }), "GET", "/", &[], false),
        (json!({ "headers": [{ "name": "x-a", "absent": true }] }), "GET", "/", &[], true),
        (json!({ "headers": [{ "name": "x-a", "present": false }] }), "GET", "/", &[("x-a", "1")], false),
        (json!({ "headers": [{ "name": "x-a", "exact": "1" }] }), "GET", "/", &[("x-a", "1")], true),
        (json!({ "headers": [{ "name": "x-a", "exact": "1" }] }), "GET", "/", &[("x-a", "12")], false),
        (json!({ "headers": [{ "name": "x-a", "prefix": "1" }] }), "GET", "/", &[("x-a", "12")], true),
        (json!({ "headers": [{ "name": "x-a", "regex": "[0-9]" }] }), "GET", "/", &[("x-a", "12")], false),
        (json!({ "headers": [{ "name": "x-a", "regex": "[0-9]+" }] }), "GET", "/", &[("x-a", "12")], true),
        (json!({ "query": [{ "name": "v", "exact": "a b" }] }), "GET", "/?u=1&v=a+b", &[], true),
        (json!({ "query": [{ "name": "v", "exact": "2" }] }), "GET", "/?v=1&v=2", &[], false),
        (json!({ "query": [{ "name": "v" }] }), "GET", "/?v", &[], true),
        (json!({ "query": [{ "name": "v", "absent": true }] }), "GET", "/", &[], true),
        (json!({ "identity": "spiffe://td/ns/a/sa/web" }), "GET", "/", td, true),
        (json!({ "identity": "spiffe://td/ns/a/*" }), "GET", "/", td, true),
        (json!({ "identity": ["spiffe://td/ns/b/*"] }), "GET", "/", td, false),
        (json!({ "identity": "spiffe://td/ns/a/sa/web" }), "GET", "/", &[], false),
    ] {
        assert_eq!(
            gets(matches.clone(), (method, "test", path, fields)),
            expected,
            "{matches} {path} {fields:?}"
        );
    }
}

#[test]
fn the_first_match_wins_whatever_its_kind() {
    let filter = router(json!([
        { "name": "teapot", "match": { "path": "/users", "headers": [{ "name": "x-tea" }] }, "cluster": "a" },
        { "name": "regex", "match": { "path_regex": "/users/[0-9]+" }, "cluster": "a" },
        { "name": "below", "match": { "path_prefix": "/users" }, "cluster": "a" },
        { "name": "exact", "match": { "path": "/users" }, "cluster": "a" },
        { "name": "host", "match": { "host": "other.test" }, "cluster": "b" },
        { "name": "rest", "cluster": "c" },
    ]));
    let of = |authority: &str, path: &str| {
        chosen(&filter.request().authority(authority).path(path).send()).unwrap()
    };
    assert_eq!(of("test", "/users"), "below");
    assert_eq!(of("other.test", "/users/7"), "regex");
    assert_eq!(of("other.test", "/users/x"), "below");
    assert_eq!(of("other.test", "/"), "host");
    assert_eq!(of("test", "/"), "rest");
    assert_eq!(chosen(&filter.request().path("/users").header("x-tea", "1").send()).unwrap(), "teapot");
}

#[test]
fn only_values_that_some_route_needs_are_asked_for() {
    let filter = router(json!([{ "cluster": "a" }]));
    assert!(filter.shown().is_empty());
    assert_eq!(filter.hooks(), Hooks::REQUEST);
    let filter = router(json!([{ "match": { "path_prefix": "/a", "method": "GET" }, "cluster": "a" }]));
    assert_eq!(filter.shown(), [":path", ":method"]);
    let rewriting =
        router(json!([{ "match": { "path": "/a" }, "cluster": "a", "rewrite": { "path_prefix": "/b" } }]));
    assert_eq!(rewriting.shown(), [":path", ":query"]);
}
