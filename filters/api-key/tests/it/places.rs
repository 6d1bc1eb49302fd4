//! Where a key is looked for, and how it is concealed.

use serde_json::json;

use crate::filter;

#[test]
fn a_key_is_found_after_its_scheme() {
    let filter = filter(json!({ "from": { "header": "Authorization" }, "realm": "api" }));
    for (value, reason) in [
        ("Bearer open-sesame", None),
        ("bearer  open-sesame ", None),
        ("Bearer swordfish", Some("unknown")),
        ("Bearer", Some("unknown")),
        ("Basic YTpi", Some("missing")),
        ("Beareropen-sesame", Some("missing")),
        ("Bearer open-sesame, Bearer other", Some("several")),
        ("Basic YTpi, Bearer open-sesame", Some("several")),
        ("Digest username=\"a\", realm=\"b\"", Some("missing")),
    ] {
        let exchange = filter.request().header("authorization", value).begin();
        assert_eq!(exchange.decision().reason(), reason, "{value}");
    }
    let decision = filter.request().send();
    assert_eq!(
        decision.reply().unwrap().fields,
        [("www-authenticate".into(), "Bearer realm=\"api\"".into())]
    );
    let own = crate::filter(json!({ "from": { "header": "authorization", "scheme": "Key" } }));
    assert!(own.request().header("authorization", "key open-sesame").send().passage().is_some());
}

#[test]
fn a_key_is_found_in_the_query_and_cut_out() {
    let filter = filter(json!({ "from": { "query": "api_key" } }));
    for (path, left) in [
        ("/a?api_key=open-sesame", Ok("/a")),
        ("/a?x=1&api_key=open-sesame&y=%20", Ok("/a?x=1&y=%20")),
        ("/a?api%5Fkey=open-sesame", Ok("/a")),
        ("/a?api_keys=open-sesame", Err("missing")),
        ("/a", Err("missing")),
        ("/a?api_key", Err("unknown")),
        ("/a?api_key=wrong", Err("unknown")),
        ("/a?api_key=open-sesame&api_key=other", Err("several")),
        ("/a?api_key=open-sesame&api%5fkey=other", Err("several")),
    ] {
        let decision = filter.request().path(path).send();
        let route = decision.passage().and_then(|passage| passage.route.as_ref());
        let sent = route.map(|route| String::from_utf8(route.path.as_ref().unwrap().to_vec()).unwrap());
        assert_eq!(sent.as_deref().ok_or(decision.reason().unwrap_or_default()), left, "{path}");
    }
}

#[test]
fn a_key_is_forwarded_if_config_says_so() {
    let header = filter(json!({ "forward": true }));
    let exchange = header.request().header("x-api-key", "open-sesame").begin();
    assert_eq!(exchange.request_header("x-api-key").as_deref(), Some("open-sesame"));
    let query = filter(json!({ "forward": true, "from": { "query": "k" } }));
    let decision = query.request().path("/a?k=open-sesame").send();
    assert!(decision.passage().unwrap().route.is_none());
}

#[test]
fn two_keys_are_refused_rather_than_chosen_from() {
    let filter = filter(json!({}));
    let two = filter.request().header("x-api-key", "open-sesame").header("x-api-key", "other").send();
    assert_eq!((two.status(), two.reason()), (Some(400), Some("several")));
}
