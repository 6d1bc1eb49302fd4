//! What becomes of exchanges that match.

use std::time::Duration;

use serde_json::{Value, json};
use weir_filter_router::Router;
use weir_sdk::testing::Filter;
use weir_sdk::{Decision, Hooks};

use super::router;

/// How long decisions are remembered if config does not say.
const MINUTE: Duration = Duration::from_secs(60);

fn one(route: Value) -> Filter<Router> {
    router(json!([route]))
}

fn path_sent(filter: &Filter<Router>, path: &str) -> String {
    let decision = filter.request().path(path).send();
    let route = decision.passage().unwrap().route.clone().unwrap();
    String::from_utf8(route.path.unwrap().to_vec()).unwrap()
}

fn location(filter: &Filter<Router>, authority: &str, path: &str) -> String {
    let decision = filter.request().authority(authority).path(path).send();
    let (name, value) = decision.reply().unwrap().fields[0].clone();
    assert_eq!(&*name, "location");
    String::from_utf8(value.to_vec()).unwrap()
}

#[test]
fn a_route_says_everything_a_route_can() {
    let filter = one(json!({
        "name": "users", "cluster": "users", "timeout": "2s", "retries": 2,
        "retry_policy": "patient", "mirror": "shadow",
        "subset": { "version": "v2" }, "rewrite": { "authority": "users.internal" },
        "request_headers": { "set": { "X-Via": "weir" }, "append": { "x-more": "1" }, "remove": ["x-debug"] }
    }));
    let expected = Decision::pass()
        .remove("x-debug")
        .set("x-via", "weir")
        .append("x-more", "1")
        .to(filter.cluster("users"))
        .subset("version", "v2")
        .timeout(Duration::from_secs(2))
        .retries(2)
        .fact("retry.policy", "patient")
        .mirror(filter.cluster("shadow"))
        .authority("users.internal")
        .route_name("users")
        .memo(1)
        .keep(MINUTE);
    assert_eq!(filter.request().send(), expected.into());
}

#[test]
fn prefixes_are_rewritten_and_queries_kept() {
    let rewrite = |matches: Value, to: &str| {
        one(json!({ "match": matches, "cluster": "a", "rewrite": { "path_prefix": to } }))
    };
    for (prefix, to, path, sent) in [
        ("/users", "/v2/people", "/users/7?a=b", "/v2/people/7?a=b"),
        ("/users", "/", "/users/7", "/7"),
        ("/users", "/", "/users", "/"),
        ("/users", "/", "/users?x", "/?x"),
        ("/users/", "/people/", "/users/7", "/people/7"),
        ("/", "/below", "/x", "/below/x"),
    ] {
        assert_eq!(
            path_sent(&rewrite(json!({ "path_prefix": prefix }), to), path),
            sent,
            "{prefix} {to} {path}"
        );
    }
    assert_eq!(path_sent(&rewrite(json!({ "path": "/a" }), "/b/"), "/a"), "/b/");
    assert_eq!(path_sent(&rewrite(json!({}), "/b"), "/a"), "/b/a");
}

#[test]
fn redirects_lead_to_absolute_places() {
    let redirect = |matches: Value, redirect: Value| one(json!({ "match": matches, "redirect": redirect }));
    let secure = redirect(json!({}), json!({ "scheme": "https", "status": 308 }));
    assert_eq!(secure.request().send().status(), Some(308));
    assert_eq!(location(&secure, "a.test:8080", "/x?y"), "https://a.test/x?y");
    let moved = redirect(json!({ "path_prefix": "/old" }), json!({ "path_prefix": "/" }));
    assert_eq!(moved.request().path("/old").send().status(), Some(302));
    assert_eq!(location(&moved, "a.test:8080", "/old/x"), "http://a.test:8080/x");
    let elsewhere = redirect(json!({}), json!({ "host": "b.test", "path": "/new", "strip_query": true }));
    assert_eq!(location(&elsewhere, "a.test:8080", "/x?y"), "http://b.test/new");
    let port = redirect(json!({}), json!({ "port": 8443, "scheme": "https" }));
    assert_eq!(location(&port, "[::1]:80", "/"), "https://[::1]:8443/");
}

#[test]
fn a_redirect_cannot_be_talked_into_another_host() {
    let moved = one(json!({ "match": { "path_prefix": "/old" }, "redirect": { "path_prefix": "/" } }));
    assert_eq!(location(&moved, "a.test", "/old//evil.test/x"), "http://a.test//evil.test/x");
}

#[test]
fn replies_are_given_as_written() {
    let filter = one(json!({ "reply": { "status": 200, "body": "hello", "headers": { "X-A": "1" } } }));
    let expected = Decision::answer(200)
        .header("x-a", "1")
        .header("content-type", "text/plain; charset=utf-8")
        .body("hello")
        .reason("reply")
        .keep(MINUTE);
    assert_eq!(filter.request().send(), expected.into());
}

#[test]
fn no_match_is_404_another_status_or_a_pass() {
    let no_match = |value: Value| Filter::<Router>::new(json!({ "routes": [], "no_match": value })).unwrap();
    assert_eq!(router(json!([])).request().send().status(), Some(404));
    assert_eq!(no_match(json!(421)).request().send().status(), Some(421));
    assert_eq!(no_match(json!("pass")).request().send(), Decision::pass().keep(MINUTE).into());
}

#[test]
fn equal_keys_hash_alike_whatever_they_are_taken_from() {
    let hash = |hash: Value| one(json!({ "cluster": "a", "hash": hash }));
    let key = |decision: Decision| decision.passage().unwrap().route.as_ref().unwrap().hash;
    let header = hash(json!({ "header": "X-User" }));
    let ann = key(header.request().header("x-user", "ann").send());
    assert!(ann.is_some());
    assert_ne!(ann, key(header.request().header("x-user", "bob").send()));
    assert_eq!(None, key(header.request().send()));
    assert_eq!(ann, key(hash(json!({ "cookie": "u" })).request().header("cookie", "a=1; u=ann").send()));
    assert_eq!(ann, key(hash(json!({ "query": "u" })).request().path("/?u=ann").send()));
    assert_eq!(ann, key(hash(json!({ "address": true })).request().peer_address("ann").send()));
}

#[test]
fn response_headers_are_edited_for_the_route_that_matched() {
    let filter = router(json!([
        { "match": { "path": "/a" }, "cluster": "a", "response_headers": { "set": { "x-a": "1" }, "remove": ["server"] } },
        { "cluster": "b" },
    ]));
    assert!(filter.hooks().contains(Hooks::RESPONSE));
    let mut edited = filter.request().path("/a").begin();
    let edits = edited.respond(200, &[]).passage().unwrap().edits.clone();
    assert_eq!(edits, Decision::pass().remove("server").set("x-a", "1").edits);
    let mut other = filter.request().path("/b").begin();
    assert!(other.respond(200, &[]).passage().unwrap().edits.is_empty());
}

#[test]
fn faults_befall_the_share_that_config_says() {
    let seed = 42;
    let config = json!({ "routes": [{
        "cluster": "a", "fault": { "delay": "100ms", "delay_percent": 20, "abort": 503, "abort_percent": 10 }
    }], "remember": "1m" });
    let filter = Filter::<Router>::builder().seed(seed).build(config).unwrap();
    let (mut delayed, mut aborted) = (0, 0);
    for _ in 0..10_000 {
        match filter.request().send().plain() {
            Decision::Pass(passage) => {
                assert_eq!(passage.keep_ms, 0, "a drawn fault must not be remembered");
                delayed += u32::from(passage.delay_ms == 100);
            }
            Decision::Answer(reply) => {
                assert_eq!((reply.status, &*reply.reason), (503, "fault"));
                aborted += 1;
            }
            Decision::Ask(_) | Decision::Ready(_) => panic!("the router asks nobody"),
        }
    }
    // Five standard deviations: 30 of 1000 aborted each, 38 of 1800 (those not aborted) delayed.
    assert!((850..1150).contains(&aborted), "{aborted} aborted, seed {seed}");
    assert!((1610..1990).contains(&delayed), "{delayed} delayed, seed {seed}");
}

#[test]
fn decisions_are_remembered_as_long_as_config_says() {
    let routes = json!([
        { "match": { "path": "/a" }, "cluster": "a" },
        { "match": { "path": "/b" }, "reply": { "status": 204 } },
    ]);
    let filter = Filter::<Router>::new(json!({ "routes": routes, "remember": "10s" })).unwrap();
    assert_eq!(filter.request().path("/a").send().passage().unwrap().keep_ms, 10_000);
    assert_eq!(filter.request().path("/b").send().reply().unwrap().keep_ms, 10_000);
    assert_eq!(filter.request().path("/c").send().reply().unwrap().keep_ms, 10_000);
    for (written, keep_ms) in [(json!({}), 60_000), (json!({ "remember": "0s" }), 0)] {
        let mut config = json!({ "routes": routes });
        config.as_object_mut().unwrap().extend(written.as_object().unwrap().clone());
        let filter = Filter::<Router>::new(config).unwrap();
        assert_eq!(filter.request().path("/a").send().passage().unwrap().keep_ms, keep_ms);
    }
}
