//! A token (ES256, RFC 7518 3.4) and the keys that verify it, in every form the subjects want.

use anyhow::{Result, anyhow};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::json;

pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn new() -> Result<Self> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self).map_err(|_| anyhow!("no key"))
    }

    /// The uncompressed point: 4, x, y.
    fn point(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// RFC 7517.
    pub(crate) fn jwks(&self) -> String {
        let part = |range: std::ops::Range<usize>| BASE64_URL_SAFE_NO_PAD.encode(&self.point()[range]);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench",
            "x": part(1..33), "y": part(33..65) }] })
        .to_string()
    }

    /// The public key as PEM (RFC 5480: the fixed head of a P-256 key, then the point).
    pub(crate) fn public_pem(&self) -> String {
        const HEAD: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let text = BASE64_STANDARD.encode([&HEAD, self.point()].concat());
        let (first, second) = text.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }

    /// Valid for a day.
    pub(crate) fn token(&self) -> Result<String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let head = json!({ "alg": "ES256", "typ": "JWT", "kid": "bench" });
        let claims =
            json!({ "iss": "https://bench.weir.example", "aud": "users", "sub": "ann", "exp": now + 86_400 });
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(head), part(claims));
        let signature =
            self.0.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| anyhow!("no signature"))?;
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}
