//! The filter without a proxy: requests in, decisions out.
#![allow(missing_docs, clippy::unwrap_used)]

use hello_filter::Hello;
use serde_json::json;
use weir_sdk::testing::Filter;

fn filter() -> Filter<Hello> {
    Filter::new(json!({ "greeting": "Hello", "banned": ["scraper"] })).unwrap()
}

#[test]
fn callers_are_greeted_and_counted() {
    let filter = filter();
    let decision = filter.request().path("/hello").header("user-agent", "curl").send();
    assert_eq!(decision.status(), Some(200));
    assert_eq!(*decision.reply().unwrap().body, *b"Hello, curl!\n");
    assert_eq!(filter.metric("greeted"), 1);
}

#[test]
fn banned_agents_are_refused_everywhere() {
    let decision = filter().request().path("/hello").header("user-agent", "scraper/2.0").send();
    assert_eq!((decision.status(), decision.reason()), (Some(403), Some("banned_agent")));
}

#[test]
fn the_rest_passes_with_a_greeting_and_comes_back_marked() {
    let mut exchange = filter().request().path("/users").begin();
    assert_eq!(exchange.request_header("x-greeting").as_deref(), Some("Hello"));
    let response = exchange.respond(200, &[("server", "origin")]);
    assert_eq!(response, weir_sdk::Decision::pass().set("x-filtered-by", "hello").into());
}

#[test]
fn a_greeting_that_cannot_be_sent_is_refused_at_the_start() {
    let refused = Filter::<Hello>::new(json!({ "greeting": "two\nlines" })).err().unwrap();
    assert!(refused.contains("control character"), "{refused}");
    assert!(Filter::<Hello>::new(json!({ "greetings": "Hello" })).is_err());
}
