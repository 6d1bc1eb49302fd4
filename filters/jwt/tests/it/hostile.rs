//! Bytes of strangers: never a panic, never let in.

use serde_json::json;
use weir_sdk::testing::Filter;

use weir_filter_jwt::Jwt;

use crate::signer::part;
use crate::{NOW, bearer, filter, signed};

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

fn is_refused(filter: &Filter<Jwt>, value: &[u8]) -> bool {
    filter.request().header("authorization", value).send().status().is_some()
}

#[test]
fn a_token_changed_in_any_place_is_refused() {
    let (signer, token) = signed(json!({ "sub": "ann" }));
    let filter = filter(&signer, json!({}));
    for at in 0..token.len() {
        for byte in *b"A.-_=\0\xff" {
            let mut changed = token.clone().into_bytes();
            if std::mem::replace(&mut changed[at], byte) == byte {
                continue;
            }
            assert!(is_refused(&filter, &[b"Bearer ", &changed[..]].concat()), "byte {at} as {byte}");
        }
        assert!(bearer(&filter, &token[..at]).status().is_some(), "cut at {at}");
    }
}

#[test]
fn random_bytes_and_random_json_are_refused() {
    let seed = 7;
    let mut random = Random(seed);
    let (signer, _) = signed(json!({}));
    let filter = filter(&signer, json!({ "optional": false }));
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"alg\"",
        "\"HS256\"",
        "\"none\"",
        "\"crit\"",
        "\"kid\"",
        "1e999",
        "-0",
        "null",
        "\"\\ud800\"",
        "\u{0}",
    ];
    for round in 0..3_000 {
        let noise: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
        assert!(is_refused(&filter, &[b"Bearer ", &noise[..]].concat()), "seed {seed}, round {round}");
        let header: String = (0..random.below(12)).map(|_| words[random.below(words.len())]).collect();
        let token = format!("{}.{}.{}", part(&header), part(&noise), part("x"));
        assert!(bearer(&filter, &token).status().is_some(), "seed {seed}, round {round}: {header}");
    }
}

#[test]
fn a_signed_token_with_ambiguous_or_deep_claims_is_refused() {
    let (signer, _) = signed(json!({}));
    let filter = filter(&signer, json!({}));
    let exp = format!("\"exp\":{}", NOW + 60);
    for claims in [
        format!("{{{exp},\"sub\":\"ann\",\"sub\":\"eve\"}}"),
        format!("{{{exp},\"a\":{}1{}}}", "[".repeat(400), "]".repeat(400)),
        format!("[{{{exp}}}]"),
        format!("{{{exp}}} {{}}"),
        format!("{{{exp},}}"),
        String::new(),
    ] {
        let token = signer.signed(r#"{"alg":"HS256"}"#, &claims);
        assert_eq!(bearer(&filter, &token).reason(), Some("malformed"), "{:.60}", claims);
    }
}

#[test]
fn a_long_token_is_refused_before_it_is_read() {
    let (signer, token) = signed(json!({ "fill": "x".repeat(8_000) }));
    assert!(token.len() > 8 << 10);
    assert_eq!(bearer(&filter(&signer, json!({})), &token).reason(), Some("malformed"));
    let (signer, token) = signed(json!({ "fill": "x".repeat(5_000) }));
    assert!(bearer(&filter(&signer, json!({})), &token).passage().is_some());
}
