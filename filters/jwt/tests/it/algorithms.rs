//! Every algorithm, the RFCs' own examples, and what must not be taken for one.

use serde_json::json;
use weir_filter_jwt::Jwt;
use weir_sdk::testing::Filter;

use crate::signer::{Signer, part};
use crate::{NOW, bearer, filter, signed};

#[test]
fn every_algorithm_is_verified_with_its_key() {
    for alg in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256",
        "HS384", "HS512",
    ] {
        let signer = Signer::new(alg);
        let filter = filter(&signer, json!({}));
        let token = signer.token(json!({ "sub": "ann", "exp": NOW + 60 }));
        assert!(bearer(&filter, &token).passage().is_some(), "{alg}: {:?}", bearer(&filter, &token));
        let other = Signer::new(alg);
        if !alg.starts_with("HS") {
            let token = other.token(json!({ "sub": "ann", "exp": NOW + 60 }));
            assert_eq!(bearer(&filter, &token).reason(), Some("signature"), "{alg}");
        }
        let claims = part(json!({ "sub": "eve", "exp": NOW + 60 }).to_string());
        let (header, rest) = token.split_once('.').unwrap();
        let forged = format!("{header}.{claims}.{}", rest.split_once('.').unwrap().1);
        assert_eq!(bearer(&filter, &forged).reason(), Some("signature"), "{alg}");
    }
}

/// RFC 7515 A.1 and A.3.
#[test]
fn the_examples_of_rfc_7515_are_verified() {
    let claims =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    for (jwk, header, signature) in [
        (
            json!({
                "kty": "oct",
                "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
            }),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            json!({
                "kty": "EC", "crv": "P-256",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
            }),
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let config = json!({
            "keys": [jwk], "issuer": "joe", "facts": { "root": "http://example.com/is_root" }
        });
        let filter = Filter::<Jwt>::builder().now_ms(1_300_819_000_000).build(config).unwrap();
        let token = format!("{header}.{claims}.{signature}");
        let exchange = filter.request().header("authorization", format!("Bearer {token}")).begin();
        assert_eq!(exchange.passage().keep_ms, 60_000);
        assert_eq!(exchange.fact("auth.root").as_deref(), Some("true"));
        filter.set_now_ms(1_300_819_440_000);
        assert_eq!(bearer(&filter, &token).reason(), Some("expired"));
    }
}

#[test]
fn none_is_not_an_algorithm() {
    let (signer, _) = signed(json!({}));
    let filter = filter(&signer, json!({}));
    let claims = part(json!({ "sub": "eve", "exp": NOW + 60 }).to_string());
    for alg in ["none", "None", "NONE", "", "hs256", "HS256 ", "RSA"] {
        let header = part(json!({ "alg": alg }).to_string());
        for signature in ["", "AAAA"] {
            let decision = bearer(&filter, &format!("{header}.{claims}.{signature}"));
            assert_eq!((decision.status(), decision.reason()), (Some(401), Some("algorithm")), "{alg:?}");
        }
    }
}

/// CVE-2015-9235 and its kin: the public key, used as a secret.
#[test]
fn a_public_key_is_never_a_secret() {
    for alg in ["RS256", "ES256", "EdDSA"] {
        let signer = Signer::new(alg);
        let filter = filter(&signer, json!({}));
        let jwk = signer.jwk();
        for secret in ["n", "x"].iter().filter_map(|name| jwk[*name].as_str()) {
            let header = part(r#"{"alg":"HS256"}"#);
            let message = format!("{header}.{}", part(json!({ "exp": NOW + 60 }).to_string()));
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            let given = aws_lc_rs::hmac::sign(&key, message.as_bytes());
            let decision = bearer(&filter, &format!("{message}.{}", part(given)));
            assert_eq!(decision.reason(), Some("no_keys"), "{alg}");
        }
    }
}

#[test]
fn only_the_algorithms_that_config_lists_are_taken() {
    let signer = Signer::new("RS256");
    let filter = filter(&signer, json!({ "algorithms": ["RS256", "ES256"] }));
    let claims = json!({ "exp": NOW + 60 });
    assert!(bearer(&filter, &signer.token(claims.clone())).passage().is_some());
    assert_eq!(bearer(&filter, &signer.by("RS512").token(claims)).reason(), Some("algorithm"));
    for algorithms in [json!([]), json!(["none"]), json!(["RS1"])] {
        let error = Filter::<Jwt>::new(json!({ "algorithms": algorithms })).err().unwrap();
        assert!(error.contains("algorithms"), "{error}");
    }
}

#[test]
fn a_key_bound_to_an_algorithm_serves_no_other() {
    let signer = Signer::new("RS256");
    let mut jwk = signer.jwk();
    jwk["alg"] = json!("RS256");
    let filter = Filter::<Jwt>::new(json!({ "keys": [jwk] })).unwrap();
    let claims = json!({ "exp": NOW + 60 });
    assert!(bearer(&filter, &signer.token(claims.clone())).passage().is_some());
    assert_eq!(bearer(&filter, &signer.by("PS256").token(claims)).reason(), Some("no_keys"));
}
