//! Keys and signatures: the RFCs' own examples, every algorithm with fresh keys, and what must be refused.

use aws_lc_rs::{
    encoding::{AsBigEndian, Curve25519SeedBin},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};

use super::*;

const ALGORITHMS: [&str; 16] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256",
    "HS384", "HS512", "none", "", "rs256",
];

/// The payload of RFC 7515, appendix A.
const JOE: &str =
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The algorithms that accept this signature.
fn accepting(key: &Key, message: &[u8], signature: &[u8]) -> Vec<&'static str> {
    ALGORITHMS.into_iter().filter(|algorithm| key.verify(algorithm, message, signature)).collect()
}

fn check_only(algorithm: &str, jwk: &str, message: &[u8], signature: &[u8]) {
    let key = Key::parse(jwk).unwrap();
    assert_eq!(accepting(&key, message, signature), [algorithm], "{jwk}");
    let mut changed = signature.to_vec();
    changed[signature.len() / 2] ^= 1;
    assert!(accepting(&key, message, &changed).is_empty());
    assert!(accepting(&key, &message[1..], signature).is_empty());
    assert!(accepting(&key, message, &[]).is_empty());
    let bound =
        |alg: &str| jwk.replacen('{', &format!(r#"{{"alg":"{alg}","use":"sig","key_ops":["verify"],"#), 1);
    assert!(Key::parse(&bound(algorithm)).unwrap().verify(algorithm, message, signature));
    assert!(Key::parse(&bound("none")).is_err());
    assert!(Key::parse(&bound("A128GCM")).is_err());
}

#[test]
fn the_examples_of_the_rfcs_verify() {
    let examples = [
        (
            "HS256",
            r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#.to_owned(),
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9{JOE}"),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            "RS256",
            format!(r#"{{"kty":"RSA","e":"AQAB","n":"{RSA_N}"}}"#),
            format!("eyJhbGciOiJSUzI1NiJ9{JOE}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "ES256",
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#.to_owned(),
            format!("eyJhbGciOiJFUzI1NiJ9{JOE}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "EdDSA",
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#.to_owned(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (algorithm, jwk, message, signature) in examples {
        check_only(algorithm, &jwk, message.as_bytes(), &decode(signature));
    }
}

#[test]
fn every_rsa_algorithm_verifies_its_own_signatures_only() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let n: Vec<u8> = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
    let e: Vec<u8> = pair.public_key().exponent().big_endian_without_leading_zero().to_vec();
    // A leading zero, which some issuers write although RFC 7518 6.3.1.1 forbids it.
    let jwk = format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, encode(&[&[0], &*n].concat()), encode(&e));
    let algorithms: [(&str, &'static dyn RsaEncoding); 6] = [
        ("RS256", &RSA_PKCS1_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
        ("PS256", &RSA_PSS_SHA256),
        ("PS384", &RSA_PSS_SHA384),
        ("PS512", &RSA_PSS_SHA512),
    ];
    for (name, encoding) in algorithms {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), b"message", &mut signature).unwrap();
        check_only(name, &jwk, b"message", &signature);
    }
}

#[test]
fn every_curve_verifies_its_own_signatures_only() {
    let curves = [
        ("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", "P-521", &ECDSA_P521_SHA512_FIXED_SIGNING),
    ];
    for (name, curve, signing) in curves {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = format!(r#"{{"kty":"EC","crv":"{curve}","x":"{}","y":"{}"}}"#, encode(x), encode(y));
        let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
        check_only(name, &jwk, b"message", signature.as_ref());
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    let seed: Curve25519SeedBin<'_> = pair.seed().unwrap().as_be_bytes().unwrap();
    assert_eq!(seed.as_ref().len(), 32);
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(pair.public_key().as_ref()));
    check_only("EdDSA", &jwk, b"message", pair.sign(b"message").as_ref());
    let by_curve = Key::parse(&jwk).unwrap().verify("Ed25519", b"message", pair.sign(b"message").as_ref());
    assert!(by_curve, "RFC 9864's name");
}

#[test]
fn every_secret_verifies_with_the_algorithms_it_is_long_enough_for() {
    let algorithms = [
        ("HS256", hmac::HMAC_SHA256, 32),
        ("HS384", hmac::HMAC_SHA384, 48),
        ("HS512", hmac::HMAC_SHA512, 64),
    ];
    for (name, algorithm, least) in algorithms {
        let sign = |secret: &[u8]| hmac::sign(&hmac::Key::new(algorithm, secret), b"message");
        let jwk = |secret: &[u8]| format!(r#"{{"kty":"oct","k":"{}"}}"#, encode(secret));
        let secret = vec![7; least];
        check_only(name, &jwk(&secret), b"message", sign(&secret).as_ref());
        let short = &secret[1..];
        let refused = Key::parse(&jwk(short)).is_err()
            || !Key::parse(&jwk(short)).unwrap().verify(name, b"message", sign(short).as_ref());
        assert!(refused, "{name} with {} bytes", short.len());
        let bound = jwk(short).replacen('{', &format!(r#"{{"alg":"{name}","#), 1);
        assert!(Key::parse(&bound).is_err(), "told at once");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // The attack of RFC 8725 2.1: sign with HMAC, with the public key's bytes as the secret.
    let jwk = format!(r#"{{"kty":"RSA","e":"AQAB","n":"{RSA_N}"}}"#);
    let key = Key::parse(&jwk).unwrap();
    for secret in [decode(RSA_N), jwk.into_bytes()] {
        let forged = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), b"message");
        assert!(accepting(&key, b"message", forged.as_ref()).is_empty());
    }
}

#[test]
fn keys_that_must_not_be_used_are_refused_with_the_reason() {
    let with_n = |n: &[u8], e: &str| format!(r#"{{"kty":"RSA","e":"{e}","n":"{}"}}"#, encode(n));
    let n = decode(RSA_N);
    let cases = [
        ("not a JWK", "".to_owned()),
        ("not a JWK", "[]".to_owned()),
        ("not a JWK", r#"{"kty":7}"#.to_owned()),
        ("longer", format!(r#"{{"kty":"oct","k":"{}"}}"#, "A".repeat(20_000))),
        ("not supported", r#"{"kty":"AKP"}"#.to_owned()),
        ("1024 bits", with_n(&n[..128], "AQAB")),
        ("2040 bits", with_n(&n[1..], "AQAB")),
        ("0 bits", with_n(&[0; 256], "AQAB")),
        ("16384 bits", with_n(&n.repeat(8), "AQAB")),
        ("exponent", with_n(&n, "AQ")),
        ("exponent", with_n(&n, "AQAA")),
        ("\"e\" is empty", with_n(&n, "")),
        ("\"n\" is missing", r#"{"kty":"RSA","e":"AQAB"}"#.to_owned()),
        ("base64url", r#"{"kty":"RSA","e":"AQAB","n":"a+/="}"#.to_owned()),
        ("not supported", r#"{"kty":"EC","crv":"secp256k1","x":"","y":""}"#.to_owned()),
        ("32 bytes", r#"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}"#.to_owned()),
        (
            "no point",
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, encode(&[1; 32]), encode(&[2; 32])),
        ),
        ("not supported", r#"{"kty":"OKP","crv":"X25519","x":"AAAA"}"#.to_owned()),
        ("no Ed25519 key", r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned()),
        ("shorter than 32", r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned()),
        ("private key", format!(r#"{{"kty":"RSA","e":"AQAB","n":"{RSA_N}","d":"AQAB"}}"#)),
        ("\"use\"", format!(r#"{{"kty":"RSA","use":"enc","e":"AQAB","n":"{RSA_N}"}}"#)),
        ("\"key_ops\"", format!(r#"{{"kty":"RSA","key_ops":["sign"],"e":"AQAB","n":"{RSA_N}"}}"#)),
        ("does not fit", format!(r#"{{"kty":"RSA","alg":"HS256","e":"AQAB","n":"{RSA_N}"}}"#)),
    ];
    for (reason, jwk) in cases {
        let error = Key::parse(&jwk).err();
        assert!(
            error.as_ref().is_some_and(|error| error.contains(reason)),
            "{reason}: {error:?} for {jwk:.60}"
        );
    }
    let secret = Key::parse(r#"{"kty":"oct","k":"top-secret","k":"top-secret"}"#).err().unwrap();
    assert!(!secret.contains("top-secret"), "{secret}");
}
