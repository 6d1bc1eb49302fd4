//! Filters are linked with a small stack (`.cargo/config.toml`). What recurses most - regexes, JSON - gets
//! the worst there is, and no instance takes more memory than it needs.

use std::time::Duration;

use serde_json::json;
use weir_runtime::{Decision, Fault, Limits, Program};

use super::{Agent, body, limited, program, request};

/// Room in time, so that nothing but the stack can give out first.
fn patient(package: &str) -> Program<Agent> {
    let time = Duration::from_secs(30);
    limited(package, Limits { time, setup_time: time, ..Limits::default() })
}

/// As deep as any parser follows, and far deeper.
const DEPTHS: [usize; 4] = [100, 127, 128, 100_000];

fn nested(depth: usize, open: &str, close: &str) -> String {
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

/// Arrays, objects, and both in turn.
fn documents() -> Vec<String> {
    DEPTHS
        .into_iter()
        .flat_map(|depth| {
            [
                nested(depth, "[", "]"),
                format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth)),
                format!("{}1{}", r#"[{"a":"#.repeat(depth / 2), "}]".repeat(depth / 2)),
            ]
        })
        .collect()
}

#[test]
fn a_filter_reads_json_as_deep_as_its_parser_goes() {
    let (mut instance, _) = patient("weir-sdk-fixture").instantiate(r#"{"cluster":"origin"}"#).unwrap();
    for document in documents() {
        let read = request(&mut instance, &[Some(b"/json"), Some(document.as_bytes()), None, None]).unwrap();
        let deep = serde_json::from_str::<serde_json::Value>(&document).is_err();
        assert_eq!(body(read), if deep { &b"too deep"[..] } else { b"read" });
    }
}

#[test]
fn tokens_and_key_sets_are_refused_however_deep() {
    let secret = "0123456789abcdef0123456789abcdef";
    let config = json!({ "secret": secret, "require": [{ "claim": "a.b.c" }] }).to_string();
    let (mut instance, interest) = patient("weir-filter-jwt").instantiate(&config).unwrap();
    let at = interest.request.iter().position(|name| name == "authorization").unwrap();
    for document in documents() {
        for content in
            [document.clone(), format!(r#"{{"keys":{document}}}"#), format!(r#"{{"keys":[{document}]}}"#)]
        {
            assert!(instance.update("jwks", content.as_bytes()).unwrap().is_err());
        }
        if document.len() > 60_000 {
            continue; // no head holds this
        }
        let token = format!("Bearer {0}.{0}.AAAA", base64url(document.as_bytes()));
        let mut values = vec![None; interest.request.len()];
        values[at] = Some(token.as_bytes());
        let decision = request(&mut instance, &values).unwrap();
        assert!(matches!(decision, Decision::Answer(reply) if reply.status == 401));
    }
}

#[test]
fn regexes_nest_and_match_to_the_end() {
    let patterns = [
        nested(15, "(a?", ")*"),
        nested(45, "(?:a|b|", ")"),
        "(a|aa|b)*".repeat(200),
        "((a{1,20}){1,20}b?)*".to_owned(),
        format!("({})", vec!["abc"; 3_000].join("|")),
    ];
    let program = patient("weir-filter-router");
    for pattern in patterns {
        let route = json!({ "match": { "path_regex": format!("/{pattern}") }, "cluster": "origin" });
        let config = json!({ "routes": [route] }).to_string();
        let (mut instance, _) = program.instantiate(&config).unwrap();
        for path in ["/a".to_owned(), format!("/{}", "a".repeat(2_000)), format!("/{}c", "ab".repeat(1_000))]
        {
            request(&mut instance, &[Some(path.as_bytes())]).unwrap();
        }
    }
    let deeper =
        json!({ "routes": [{ "match": { "path_regex": nested(10_000, "(", ")") }, "cluster": "a" }] });
    let refused = program.instantiate(&deeper.to_string()).err().unwrap();
    assert!(matches!(refused, Fault::Configure(_)), "{refused:?}");
}

#[test]
fn an_idle_instance_is_small() {
    for (package, config) in [
        ("weir-filter-router", json!({ "routes": [{ "cluster": "a", "match": { "path_prefix": "/a" } }] })),
        ("weir-filter-circuit-breaker", json!({ "cluster": "a" })),
        ("weir-filter-canary", json!({ "cluster": "a", "versions": [{ "label": "v1", "weight": 1 }] })),
        ("weir-filter-jwt", json!({ "secret": "0123456789abcdef0123456789abcdef" })),
        ("weir-filter-api-key", json!({})),
        ("weir-filter-rbac", json!({ "allow": [{ "name": "a", "path_prefix": "/a" }] })),
    ] {
        let (instance, _) = program(package).instantiate(&config.to_string()).unwrap();
        let kib = instance.memory_bytes() / 1024;
        assert!(kib <= 320, "{package} takes {kib} KiB");
    }
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|at| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize])));
    }
    text
}
