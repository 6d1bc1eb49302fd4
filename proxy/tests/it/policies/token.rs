//! Tokens and digests, made without any code of the filters that check them.

use anyhow::Result;
use aws_lc_rs::{
    digest, hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// An HS256 token (RFC 7515 A.1) for `subject` that ends so many seconds from now.
pub(crate) fn hs256(secret: &str, subject: &str, seconds: i64) -> Result<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let message = message(json!({ "alg": "HS256" }), subject, seconds)?;
    let signature = hmac::sign(&key, message.as_bytes());
    Ok(format!("{message}.{}", part(signature)))
}

/// A key pair for ES256.
pub(crate) struct Signer {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self { kid: kid.to_owned(), pair })
    }

    /// The public key as a JWK (RFC 7518 6.2).
    pub(crate) fn jwk(&self) -> Value {
        // SEC 1 2.3.3: 4, then both coordinates.
        let point = self.pair.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": part(&point[1..33]), "y": part(&point[33..]) })
    }

    pub(crate) fn token(&self, subject: &str, seconds: i64) -> Result<String> {
        let message = message(json!({ "alg": "ES256", "kid": self.kid }), subject, seconds)?;
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes())?;
        Ok(format!("{message}.{}", part(signature)))
    }
}

/// A key set of these keys.
pub(crate) fn jwks(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

/// As api-key wants it.
pub(crate) fn sha256(key: &str) -> String {
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The signed part.
pub(crate) fn message(head: Value, subject: &str, seconds: i64) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let end = i64::try_from(now.as_secs())? + seconds;
    let claims = json!({ "iss": "https://idp.test", "aud": "users", "sub": subject, "exp": end });
    Ok(format!("{}.{}", part(head.to_string()), part(claims.to_string())))
}

pub(crate) fn part(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
