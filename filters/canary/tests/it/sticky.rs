//! One caller sees one version: by header, cookie, fact, identity, address; across workers and swaps.

use std::collections::HashSet;

use serde_json::json;
use weir_sdk::Hooks;

use crate::{chosen, config, filter, request, share_of_v2, version_of};

#[test]
fn one_caller_sees_one_version_on_every_worker() {
    let filter = filter(json!({ "sticky": { "header": "X-User" } }));
    let other = filter.another().unwrap();
    for user in (0..500).map(|user| format!("user-{user}")) {
        let version = version_of(&filter, &user);
        assert_eq!(version_of(&other, &user), version, "{user}");
        assert_eq!(version_of(&filter, &user), version, "{user}");
    }
    // 10 %, within five standard deviations.
    let share = share_of_v2(&filter, 10_000);
    assert!((8.5..11.5).contains(&share), "{share} %");
}

#[test]
fn who_sees_the_new_version_keeps_it_when_its_weight_grows() {
    let sticky = json!({ "header": "x-user" });
    let of = |old: f64, new: f64| {
        let versions = json!([{ "label": "v1", "weight": old }, { "label": "v2", "weight": new }]);
        filter(json!({ "versions": versions, "sticky": sticky }))
    };
    let mut before = HashSet::new();
    for (old, new) in [(99.9, 0.1), (95.0, 5.0), (90.0, 10.0), (90.0, 30.0), (50.0, 50.0), (0.0, 1.0)] {
        let filter = of(old, new);
        let users = (0..2_000).map(|user| format!("user-{user}"));
        let now: HashSet<String> = users.filter(|user| version_of(&filter, user) == "v2").collect();
        assert!(now.is_superset(&before), "{old} to {new}");
        before = now;
    }
    assert_eq!(before.len(), 2_000);
}

#[test]
fn it_is_remembered_for_who_is_known_and_only_for_them() {
    let filter = filter(json!({ "sticky": { "header": "x-user" } }));
    assert_eq!(filter.shown(), ["x-user"]);
    let keep = |decision: weir_sdk::Decision| decision.passage().unwrap().keep_ms;
    assert_eq!(keep(request(&filter).header("x-user", "ann").send()), 60_000);
    assert_eq!(keep(request(&filter).send()), 0);
    assert_eq!(keep(request(&filter).header("x-user", "").send()), 0);
    let versions: HashSet<String> = (0..200).map(|_| chosen(&request(&filter).send())).collect();
    assert_eq!(versions.len(), 2, "callers without the header are split at random");
}

#[test]
fn a_caller_is_known_by_fact_identity_or_address() {
    for (sticky, shown) in [
        (json!({ "fact": "auth.subject" }), "@auth.subject"),
        (json!({ "identity": true }), "@peer.identity"),
        (json!({ "address": true }), "@peer.address"),
    ] {
        let filter = filter(json!({ "sticky": sticky }));
        assert_eq!(filter.shown(), [shown]);
        let version = |caller: &str| {
            let request = request(&filter).fact("auth.subject", caller);
            chosen(&request.peer_identity(caller).peer_address(caller).send())
        };
        let callers: Vec<String> = (0..100).map(|caller| format!("caller-{caller}")).collect();
        let first: Vec<String> = callers.iter().map(|caller| version(caller)).collect();
        let again: Vec<String> = callers.iter().map(|caller| version(caller)).collect();
        assert_eq!(first, again, "{shown}");
        assert!(first.iter().any(|version| version == "v2"), "{shown}");
    }
}

#[test]
fn a_cookie_of_the_callers_own_makes_it_stick() {
    let filter = filter(json!({ "sticky": { "cookie": "session" } }));
    assert_eq!(filter.hooks(), Hooks::REQUEST);
    for user in 0..200 {
        let version = |cookies: &str| chosen(&request(&filter).header("cookie", cookies).send());
        let alone = version(&format!("session={user}"));
        assert_eq!(version(&format!("a=b; session={user}; sessions=9")), alone);
        assert_eq!(version(&format!("asession=1;session={user};session=other")), alone);
    }
}

#[test]
fn a_newcomer_gets_a_cookie_and_keeps_the_version() {
    let filter = filter(json!({ "sticky": { "cookie": "canary", "set": true, "max_age": "1h" } }));
    let mut versions = HashSet::new();
    for _ in 0..200 {
        let mut first = request(&filter).begin();
        assert_eq!(first.passage().keep_ms, 0);
        let version = chosen(first.decision());
        let response = first.respond(200, &[]);
        let [weir_sdk::Edit::Append(name, cookie)] = &response.passage().unwrap().edits[..] else {
            panic!("{response:?}")
        };
        let cookie = String::from_utf8(cookie.to_vec()).unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(&**name, "set-cookie");
        assert_eq!(attributes, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        let mut second = request(&filter).header("cookie", pair).begin();
        assert_eq!(chosen(second.decision()), version);
        assert_eq!(second.passage().keep_ms, 60_000);
        assert!(second.respond(200, &[]).passage().unwrap().edits.is_empty());
        versions.insert(version);
    }
    assert_eq!(versions.len(), 2);
    let mut encrypted = request(&filter).scheme("https").begin();
    let response = format!("{:?}", encrypted.respond(200, &[]));
    assert!(response.contains("; Secure"), "{response}");
}

#[test]
fn a_swap_moves_nobody() {
    let filter = filter(json!({ "sticky": { "header": "x-user" } }));
    let more =
        json!({ "sticky": { "header": "x-user" }, "remember": "5s", "force": { "header": "x-version" } });
    let swapped = filter.swapped(config(more)).unwrap();
    for user in (0..500).map(|user| format!("user-{user}")) {
        assert_eq!(version_of(&filter, &user), version_of(&swapped, &user), "{user}");
    }
}
