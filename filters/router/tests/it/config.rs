//! What a wrong config is told.

use serde_json::{Value, json};

use super::refused;

#[test]
fn a_wrong_route_is_named_with_the_reason() {
    for (route, reason) in [
        (json!({}), "one of `cluster`, `redirect` and `reply`"),
        (json!({ "cluster": "a", "reply": { "status": 200 } }), "and only one"),
        (json!({ "cluster": "a", "match": { "path": "/a", "path_prefix": "/" } }), "only one of `path`"),
        (json!({ "cluster": "a", "match": { "path": "a" } }), "is no path"),
        (json!({ "cluster": "a", "match": { "path_regex": "(" } }), "regex"),
        (json!({ "cluster": "a", "match": { "host": "a.*.b" } }), "stands alone"),
        (json!({ "cluster": "a", "match": { "host": "a:80" } }), "without the port"),
        (json!({ "cluster": "a", "match": { "headers": [{ "name": "host" }] } }), "`host`"),
        (
            json!({ "cluster": "a", "match": { "headers": [{ "name": "a", "exact": "1", "prefix": "2" }] } }),
            "only one of",
        ),
        (
            json!({ "cluster": "a", "match": { "path_regex": "/a" }, "rewrite": { "path_prefix": "/b" } }),
            "needs a `path`",
        ),
        (
            json!({ "cluster": "a", "request_headers": { "set": { "Content-Length": "1" } } }),
            "the proxy's to write",
        ),
        (json!({ "cluster": "a", "request_headers": { "set": { "x": "a\nb" } } }), "field's value"),
        (json!({ "cluster": "a", "hash": { "header": "a", "cookie": "b" } }), "`hash`"),
        (json!({ "cluster": "a", "fault": {} }), "`delay` or `abort`"),
        (json!({ "cluster": "a", "fault": { "abort": 503, "abort_percent": 101 } }), "percentage"),
        (json!({ "reply": { "status": 100 } }), "200 to 599"),
        (json!({ "reply": { "status": 200 }, "timeout": "1s" }), "`timeout` goes with `cluster`"),
        (json!({ "redirect": { "status": 200 } }), "301"),
        (json!({ "redirect": { "scheme": "javascript" } }), "\"https\""),
    ] {
        let error = refused(json!({ "routes": [{ "cluster": "first" }, named(route.clone())] }));
        assert!(error.starts_with("route 2 (\"second\"): "), "{error}");
        assert!(error.contains(reason), "{route}: {error}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    assert!(refused(json!({ "routes": [{ "cluster": "a", "clustre": "b" }] })).contains("clustre"));
    assert!(refused(json!({ "routes": [], "no_match": 99 })).contains("no_match"));
}

fn named(mut route: Value) -> Value {
    route["name"] = "second".into();
    route
}
