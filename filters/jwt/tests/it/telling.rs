//! What of a verified token is told to later filters and to the origin.

use serde_json::{Value, json};

use crate::{bearer, filter, signed};

#[test]
fn claims_become_facts_and_fields() {
    let (signer, token) = signed(json!({
        "sub": "ann", "level": 3, "realm": { "roles": ["a", "b"] }, "address": { "city": "Bonn" }
    }));
    let filter = filter(
        &signer,
        json!({
            "facts": { "subject": "sub", "level": "level", "none": "none" },
            "headers": { "X-User": "sub", "x-roles": "realm.roles", "x-address": "address", "x-none": "none" },
        }),
    );
    let request = filter.request().header("authorization", format!("Bearer {token}"));
    let exchange = request.header("x-user", "admin").header("x-none", "admin").begin();
    for (name, value) in [("subject", Some("ann")), ("level", Some("3")), ("none", None)] {
        assert_eq!(exchange.fact(&format!("auth.{name}")).as_deref(), value, "{name}");
    }
    for (name, value) in [
        ("x-user", Some("ann")),
        ("x-roles", Some("a,b")),
        ("x-address", Some(r#"{"city":"Bonn"}"#)),
        ("x-none", None),
    ] {
        assert_eq!(exchange.request_header(name).as_deref(), value, "{name}");
    }
    assert!(exchange.request_header("authorization").is_some());
}

#[test]
fn facts_may_stand_under_another_first_word() {
    let (signer, token) = signed(json!({ "sub": "ann" }));
    let filter = filter(&signer, json!({ "facts": { "subject": "sub" }, "prefix": "partner" }));
    let exchange = filter.request().header("authorization", format!("Bearer {token}")).begin();
    assert_eq!(exchange.fact("partner.subject").as_deref(), Some("ann"));
}

#[test]
fn a_claim_that_could_be_read_as_something_else_is_refused() {
    for sub in [
        json!("ann\r\nx-admin: yes"),
        json!("ann\u{0}"),
        json!(" ann"),
        json!("ann\t"),
        json!(["user,admin"]),
        json!(["a\nb"]),
    ] {
        let sub: Value = sub;
        let (signer, token) = signed(json!({ "sub": sub }));
        for config in [json!({ "headers": { "x-user": "sub" } }), json!({ "facts": { "subject": "sub" } })] {
            assert_eq!(bearer(&filter(&signer, config), &token).reason(), Some("claim"), "{sub}");
        }
    }
}
