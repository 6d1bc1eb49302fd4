//! Where a token is looked for, how it is concealed, and how its absence is answered.

use serde_json::json;

use crate::{bearer, filter, signed};

#[test]
fn a_request_without_a_token_is_told_how_to_bring_one() {
    let (signer, _) = signed(json!({}));
    let filter = filter(&signer, json!({}));
    let decision = filter.request().send();
    let reply = decision.reply().unwrap();
    assert_eq!((reply.status, &*reply.reason), (401, "missing"));
    assert_eq!(reply.fields, [("www-authenticate".into(), "Bearer realm=\"login\"".into())]);
    let basic = filter.request().header("authorization", "Basic YTpi").send();
    assert_eq!(basic.reason(), Some("missing"));
}

#[test]
fn a_bad_token_is_told_as_rfc_6750_says() {
    let (signer, _) = signed(json!({}));
    let decision = bearer(&filter(&signer, json!({ "realm": "api" })), "x.y.z");
    let expected =
        "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"not a token\"".to_owned();
    assert_eq!(decision.reply().unwrap().fields, [("www-authenticate".into(), expected.into())]);
}

#[test]
fn the_scheme_is_matched_as_http_matches_it() {
    let (signer, token) = signed(json!({}));
    let filter = filter(&signer, json!({}));
    for (value, reason) in [
        (format!("Bearer {token}"), None),
        (format!("bearer   {token} "), None),
        (token.clone(), Some("missing")),
        (format!("Bearer{token}"), Some("missing")),
        ("Bearer".to_owned(), Some("malformed")),
        (format!("Bearer {token} {token}"), Some("malformed")),
        (format!("Bearer {token}, Bearer {token}"), Some("several")),
        (format!("Basic YTpi, Bearer {token}"), Some("several")),
        (format!("Digest username=\"a\", realm=\"{token}\""), Some("missing")),
    ] {
        let decision = filter.request().header("authorization", &value).send();
        assert_eq!(decision.reason(), reason, "{value}");
    }
}

#[test]
fn optional_lets_pass_who_brings_none_but_not_who_brings_a_bad_one() {
    let (signer, token) = signed(json!({ "sub": "ann" }));
    let config = json!({ "optional": true, "facts": { "subject": "sub" }, "headers": { "x-user": "sub" } });
    let filter = filter(&signer, config);
    let nobody = filter.request().header("x-user", "admin").begin();
    assert_eq!((nobody.fact("auth.subject"), nobody.request_header("x-user")), (None, None));
    assert_eq!(nobody.passage().keep_ms, 60_000);
    assert_eq!(bearer(&filter, "bad").status(), Some(401));
    assert!(bearer(&filter, &token).passage().is_some());
}

#[test]
fn a_token_is_found_in_a_field_a_cookie_or_the_query() {
    let (signer, token) = signed(json!({}));
    let field = filter(&signer, json!({ "token": { "header": "X-Token" } }));
    assert!(field.request().header("x-token", &token).send().passage().is_some());
    let scheme = filter(&signer, json!({ "token": { "header": "x-token", "scheme": "JWT" } }));
    assert!(scheme.request().header("x-token", format!("jwt {token}")).send().passage().is_some());
    assert_eq!(scheme.request().header("x-token", &token).send().reason(), Some("missing"));
    let cookie = filter(&signer, json!({ "token": { "cookie": "session" } }));
    let sent = format!("a=b;  session={token}; sessions=x");
    assert!(cookie.request().header("cookie", &sent).send().passage().is_some());
    assert_eq!(cookie.request().header("cookie", "session=; a=b").send().reason(), Some("missing"));
    let query = filter(&signer, json!({ "token": { "query": "access_token" } }));
    assert!(query.request().path(&format!("/a?b&access_token={token}")).send().passage().is_some());
    assert_eq!(query.request().path("/a?access_tokens=x").send().reason(), Some("missing"));
}

#[test]
fn two_tokens_are_refused_rather_than_chosen_from() {
    let (signer, token) = signed(json!({}));
    let several = json!({
        "token": [{ "header": "authorization" }, { "query": "access_token" }, { "cookie": "session" }]
    });
    let filter = filter(&signer, several);
    let path = format!("/?access_token={token}");
    assert!(filter.request().path(&path).send().passage().is_some());
    assert!(bearer(&filter, &token).passage().is_some());
    for request in [
        filter.request().path(&path).header("authorization", "Bearer x"),
        filter.request().path(&path).header("cookie", "session=x"),
        filter.request().path(&format!("{path}&access_token=x")),
        filter.request().path(&format!("{path}&access%5ftoken=x")),
        filter.request().header("cookie", "session=x; session=y"),
    ] {
        let decision = request.send();
        assert_eq!((decision.status(), decision.reason()), (Some(400), Some("several")));
    }
}

#[test]
fn a_token_that_is_not_to_be_forwarded_is_cut_out() {
    let (signer, token) = signed(json!({}));
    let conceal = |token: serde_json::Value| filter(&signer, json!({ "forward": false, "token": token }));
    let header = conceal(json!({ "header": "authorization" }));
    let exchange = header.request().header("authorization", format!("Bearer {token}")).begin();
    assert_eq!(exchange.request_header("authorization"), None);
    let cookie = conceal(json!({ "cookie": "session" }));
    for (sent, left) in
        [(format!("session={token}"), None), (format!("a=b; session={token};c=d; e"), Some("a=b; c=d; e"))]
    {
        let exchange = cookie.request().header("cookie", &sent).begin();
        assert_eq!(exchange.request_header("cookie").as_deref(), left);
    }
    let query = conceal(json!({ "query": "t" }));
    for (sent, left) in [(format!("/a?t={token}"), "/a"), (format!("/a?x=1&t={token}&y=%20"), "/a?x=1&y=%20")]
    {
        let decision = query.request().path(&sent).send();
        let route = decision.passage().unwrap().route.as_ref().unwrap();
        assert_eq!(route.path.as_deref(), Some(left.as_bytes()));
    }
}
