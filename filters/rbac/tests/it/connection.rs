//! Rules about connections.

use serde_json::{Value, json};
use weir_sdk::{Hooks, Level, Verdict};

use crate::{WEB, build, filter};

fn rules(mut config: Value) -> weir_sdk::testing::Filter<weir_filter_rbac::Rbac> {
    config["connection"] = true.into();
    filter(config)
}

#[test]
fn what_is_judged_is_what_the_filter_is_asked_about() {
    let allow = json!({ "allow": [{ "name": "all" }] });
    assert_eq!(filter(allow.clone()).hooks(), Hooks::REQUEST);
    assert_eq!(rules(allow).hooks(), Hooks::CONNECTION);
    // Requests on a connection that was let in are not judged again.
    let web = rules(json!({ "allow": [{ "name": "web", "from": WEB }] }));
    assert!(web.request().send().passage().is_some());
}

#[test]
fn callers_are_let_in_and_refused_with_the_rules_name() {
    let filter = rules(json!({
        "deny": [{ "name": "no-guests", "address": ["192.0.2.0/24", "2001:db8::/32"] }],
        "allow": [
            { "name": "web", "from": WEB },
            { "name": "public", "sni": ["open.example", "*.open.example"], "listener": "edge" },
        ],
    }));
    let refused = |reason: &'static str| Verdict::refuse(reason);
    assert_eq!(filter.connection().identity(WEB).send(), Verdict::pass());
    assert_eq!(filter.connection().identity("spiffe://td/sa/eve").send(), refused("no_rule"));
    assert_eq!(filter.connection().send(), refused("no_rule"));
    assert_eq!(filter.connection().identity(WEB).peer("192.0.2.9", 1).send(), refused("no-guests"));
    assert_eq!(filter.connection().identity(WEB).peer("2001:db8::9", 1).send(), refused("no-guests"));
    assert_eq!(filter.connection().identity(WEB).unix().send(), Verdict::pass());
    let edge = || filter.connection().listener("edge");
    assert_eq!(edge().sni("open.example").send(), Verdict::pass());
    assert_eq!(edge().sni("a.open.example").send(), Verdict::pass());
    assert_eq!(edge().sni("closed.example").send(), refused("no_rule"));
    assert_eq!(edge().send(), refused("no_rule"));
    assert_eq!(filter.connection().sni("open.example").send(), refused("no_rule"));
    assert_eq!(filter.metric("denied_by_no_guests"), 2);
    assert_eq!(filter.metric("allowed_by_web"), 2);
    assert_eq!(filter.metric("denied_by_no_rule"), 5);
}

#[test]
fn audit_lets_connections_through_and_tells_each_time() {
    let filter = rules(json!({ "audit": true, "allow": [{ "name": "web", "from": WEB }] }));
    assert_eq!(filter.connection().send(), Verdict::pass());
    assert_eq!(filter.connection().identity(WEB).send(), Verdict::pass());
    assert_eq!(filter.metric("audited"), 1);
    let told = "would be denied (no_rule): a caller without identity".to_owned();
    assert_eq!(filter.log_lines(), [(Level::Warn, told)]);
}

#[test]
fn rules_about_requests_have_no_place_there() {
    for (key, value) in [
        ("method", json!("GET")),
        ("path", json!("/a")),
        ("path_prefix", json!("/a")),
        ("headers", json!({ "x-a": "b" })),
        ("facts", json!({ "a": "b" })),
    ] {
        let mut rule = json!({ "name": "one" });
        rule[key] = value;
        let error = build(json!({ "connection": true, "deny": [rule], "allow": [{ "name": "all" }] }));
        let error = error.err().unwrap_or_else(|| panic!("{key} was taken"));
        assert!(
            error.contains(&format!("\"one\" has `{key}`")) && error.contains("another filter"),
            "{error}"
        );
    }
}

#[test]
fn what_is_known_of_the_caller_counts_for_requests_too() {
    let filter = filter(json!({
        "deny": [{ "name": "no-guests", "address": "192.0.2.0/24" }],
        "allow": [{ "name": "db", "sni": "db.example" }, { "name": "inside", "listener": ["inside", "admin"] }],
    }));
    let mut shown = filter.shown();
    shown.sort_unstable();
    assert_eq!(shown, ["@listener", "@peer.address", "@tls.sni"]);
    let allowed = |sni: &str, listener: &str, address: &str| {
        filter.request().sni(sni).listener(listener).peer_address(address).send().passage().is_some()
    };
    assert!(allowed("db.example", "web", "198.51.100.7"));
    assert!(allowed("other", "admin", "198.51.100.7"));
    assert!(!allowed("other", "web", "198.51.100.7"));
    assert!(!allowed("db.example", "inside", "192.0.2.7"));
}
