//! The cost of a lookup, in routes looked at: it must not grow with their number.

use serde_json::{Value, json};
use weir_sdk::testing::{Filter, RequestBuilder};

use crate::Router;

const FEW: usize = 100;
const MANY: usize = 10_000;

/// Routes looked at for a request against so many routes; it must be answered by the route `wanted`.
fn cost(
    count: usize,
    wanted: usize,
    route: impl Fn(usize) -> Value,
    request: impl Fn(RequestBuilder<Router>) -> RequestBuilder<Router>,
) -> usize {
    let routes: Vec<Value> = (0..count)
        .map(|at| json!({ "name": at.to_string(), "match": route(at), "cluster": "origin" }))
        .collect();
    let filter = Filter::<Router>::new(json!({ "routes": routes })).unwrap();
    let decision = request(filter.request()).send();
    let name = decision.passage().and_then(|passage| passage.route.clone()).and_then(|route| route.name);
    assert_eq!(name.as_deref(), Some(wanted.to_string().as_str()));
    filter.with(|router| router.table.looked_at.get())
}

/// The last of many must cost no more than the last of few, and little at all.
fn stays_flat(
    route: impl Fn(usize) -> Value,
    request: impl Fn(usize, RequestBuilder<Router>) -> RequestBuilder<Router>,
) {
    let last = |count: usize| cost(count, count - 1, &route, |builder| request(count - 1, builder));
    let (few, many) = (last(FEW), last(MANY));
    assert!(many <= few && many <= 4, "{few} of {FEW} routes were looked at, {many} of {MANY}");
}

#[test]
fn ten_thousand_hosts_cost_no_more_than_a_hundred() {
    stays_flat(
        |at| json!({ "host": format!("h{at}.example.com"), "path_prefix": "/" }),
        |at, request| request.authority(&format!("H{at}.example.com:8080")),
    );
    stays_flat(
        |at| json!({ "host": format!("*.h{at}.example.com") }),
        |at, request| request.authority(&format!("a.b.h{at}.example.com")),
    );
}

#[test]
fn ten_thousand_paths_cost_no_more_than_a_hundred() {
    stays_flat(|at| json!({ "path": format!("/a/{at}") }), |at, request| request.path(&format!("/a/{at}")));
    stays_flat(
        |at| json!({ "path_prefix": format!("/a/{at}") }),
        |at, request| request.path(&format!("/a/{at}/b/c")),
    );
    stays_flat(
        |at| json!({ "path_regex": format!("/a/{at}/[0-9]+") }),
        |at, request| request.path(&format!("/a/{at}/77")),
    );
}

#[test]
fn ten_thousand_tenants_on_one_path_cost_no_more_than_a_hundred() {
    stays_flat(
        |at| json!({ "path_prefix": "/api", "headers": [{ "name": "X-Tenant", "exact": format!("t{at}") }] }),
        |at, request| request.path("/api/x").header("x-tenant", format!("t{at}")),
    );
    stays_flat(
        |at| json!({ "path": "/api", "query": [{ "name": "tenant", "exact": at.to_string() }] }),
        |at, request| request.path(&format!("/api?tenant={at}")),
    );
}

#[test]
fn a_regex_behind_the_first_match_is_not_tried() {
    let route = |at| match at {
        0 => json!({ "path": "/x" }),
        _ => json!({ "path_regex": format!("/x{{1,{at}}}") }),
    };
    assert_eq!(cost(500, 0, route, |request| request.path("/x")), 1);
}
