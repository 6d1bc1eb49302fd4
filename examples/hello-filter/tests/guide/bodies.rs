//! A filter that judges the whole body: a webhook, signed by its sender.

use serde_json::json;
use weir_sdk::crypto::{self, Key};
use weir_sdk::testing::Filter;
use weir_sdk::{Body, Condition, Decision, NoConfig, Policy, Request, Setup};

struct Webhook {
    key: Option<Key>,
}

#[weir_sdk::filter]
impl Policy for Webhook {
    fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
        setup.when(Condition::starts_with(":path", "/hooks/"));
        setup.body_limit(64 * 1024);
        Ok(Webhook { key: None })
    }

    fn on_request(&mut self, _: &Request<'_>) -> Decision {
        Decision::pass().into()
    }

    fn update(&mut self, _: &str, content: &[u8]) -> Result<(), String> {
        let jwk = str::from_utf8(content).map_err(|error| error.to_string())?;
        Key::from_jwk(jwk)?; // a bad one is refused here, while the old one is still there
        crypto::forget_keys();
        self.key = Some(Key::from_jwk(jwk)?);
        Ok(())
    }

    fn on_request_body(&mut self, body: &Body<'_>) -> Decision {
        let signature = body.value("x-signature").and_then(|hex| bytes_of(&hex));
        match (self.key, signature) {
            (Some(key), Some(signature)) if key.verify("HS256", body.bytes(), &signature) => {
                Decision::pass().into()
            }
            _ => Decision::answer(401).reason("bad_signature").into(),
        }
    }
}

/// Hexadecimal digits to bytes.
fn bytes_of(hex: &[u8]) -> Option<Vec<u8>> {
    let pairs = str::from_utf8(hex).ok()?.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

const KEY: &str = r#"{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}"#;
/// HMAC-SHA-256 of the body below under that key.
const SIGNATURE: &str = "b2617f6019374ce3aaf1b097fb5f73e1a903c479cc5a64599b7328d57b977acd";

fn status(filter: &Filter<Webhook>, signature: &str, body: &str) -> Option<u16> {
    let request = filter.request().method("POST").path("/hooks/payments");
    request.header("x-signature", signature).body(body).begin().decision().status()
}

#[test]
fn only_what_its_sender_signed_goes_on() {
    let filter = Filter::<Webhook>::builder().data("key", KEY).build(json!({})).unwrap();
    assert_eq!(status(&filter, SIGNATURE, r#"{"paid":true}"#), None);
    assert_eq!(status(&filter, SIGNATURE, r#"{"paid":false}"#), Some(401));
    assert_eq!(status(&filter, "not hex", r#"{"paid":true}"#), Some(401));
    assert!(filter.update("key", "{}").is_err());
    assert_eq!(status(&filter, SIGNATURE, r#"{"paid":true}"#), None, "the old key stays in force");
}
