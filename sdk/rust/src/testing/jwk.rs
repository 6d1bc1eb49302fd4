//! Keys and signatures in a test, by the library the proxy uses, so that a filter that verifies
//! tokens is tested with real ones. RFC 7517 (JWK), RFC 7518 (algorithms), RFC 8037 (EdDSA).

use aws_lc_rs::{hmac, rsa, signature};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

pub(super) struct Key {
    /// The one algorithm the key is for, if it says so.
    alg: Option<String>,
    material: Material,
}

enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point (SEC 1, 2.3.3).
    Ec {
        curve: String,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    Secret(Vec<u8>),
}

impl Key {
    pub(super) fn parse(jwk: &str) -> Result<Key, String> {
        let jwk: Value = serde_json::from_str(jwk).map_err(|error| format!("not a JWK: {error}"))?;
        if text(&jwk, "use").is_some_and(|usage| usage != "sig") {
            return Err("the key is not for signatures (`use`)".to_owned());
        }
        let material = match text(&jwk, "kty") {
            Some("RSA") => rsa_key(&jwk)?,
            Some("EC") => ec_key(&jwk)?,
            Some("OKP") if text(&jwk, "crv") == Some("Ed25519") => Material::Ed25519(bytes(&jwk, "x")?),
            Some("oct") => secret(&jwk)?,
            _ => return Err("`kty` must be RSA, EC, OKP with Ed25519, or oct".to_owned()),
        };
        Ok(Key { alg: text(&jwk, "alg").map(str::to_owned), material })
    }

    pub(super) fn verify(&self, algorithm: &str, message: &[u8], given: &[u8]) -> bool {
        if self.alg.as_deref().is_some_and(|alg| alg != algorithm) {
            return false;
        }
        match &self.material {
            Material::Rsa { n, e } => rsa_parameters(algorithm)
                .is_some_and(|how| rsa::PublicKeyComponents { n, e }.verify(how, message, given).is_ok()),
            Material::Ec { curve, point } => ec_algorithm(algorithm, curve).is_some_and(|how| {
                signature::UnparsedPublicKey::new(how, point).verify(message, given).is_ok()
            }),
            Material::Ed25519(point) => {
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, point);
                algorithm == "EdDSA" && key.verify(message, given).is_ok()
            }
            Material::Secret(secret) => hmac_algorithm(algorithm).is_some_and(|(how, least)| {
                secret.len() >= least && hmac::verify(&hmac::Key::new(how, secret), message, given).is_ok()
            }),
        }
    }
}

fn rsa_key(jwk: &Value) -> Result<Material, String> {
    let n = bytes(jwk, "n")?;
    if n.len() < 256 {
        return Err("an RSA key of less than 2048 bits is refused".to_owned());
    }
    Ok(Material::Rsa { n, e: bytes(jwk, "e")? })
}

fn ec_key(jwk: &Value) -> Result<Material, String> {
    let curve = text(jwk, "crv").unwrap_or_default();
    let size = match curve {
        "P-256" => 32,
        "P-384" => 48,
        "P-521" => 66,
        _ => return Err("`crv` must be P-256, P-384 or P-521".to_owned()),
    };
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return Err("`x` and `y` do not fit the curve".to_owned());
    }
    Ok(Material::Ec { curve: curve.to_owned(), point: [&[4], &x[..], &y[..]].concat() })
}

fn rsa_parameters(algorithm: &str) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// An algorithm goes with one curve (RFC 7518 3.4).
fn ec_algorithm(algorithm: &str, curve: &str) -> Option<&'static signature::EcdsaVerificationAlgorithm> {
    Some(match (algorithm, curve) {
        ("ES256", "P-256") => &signature::ECDSA_P256_SHA256_FIXED,
        ("ES384", "P-384") => &signature::ECDSA_P384_SHA384_FIXED,
        ("ES512", "P-521") => &signature::ECDSA_P521_SHA512_FIXED,
        _ => return None,
    })
}

fn secret(jwk: &Value) -> Result<Material, String> {
    let secret = bytes(jwk, "k")?;
    if secret.len() < 32 {
        return Err("a secret shorter than 32 bytes (RFC 7518 3.2)".to_owned());
    }
    Ok(Material::Secret(secret))
}

/// The algorithm, and the shortest secret it may have (RFC 7518 3.2).
fn hmac_algorithm(algorithm: &str) -> Option<(hmac::Algorithm, usize)> {
    Some(match algorithm {
        "HS256" => (hmac::HMAC_SHA256, 32),
        "HS384" => (hmac::HMAC_SHA384, 48),
        "HS512" => (hmac::HMAC_SHA512, 64),
        _ => return None,
    })
}

fn text<'a>(jwk: &'a Value, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

fn bytes(jwk: &Value, name: &str) -> Result<Vec<u8>, String> {
    let text = text(jwk, name).ok_or_else(|| format!("`{name}` is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("`{name}` is not base64url"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn an_es256_signature_verifies_with_its_key_and_algorithm_only() {
        let random = SystemRandom::new();
        let how = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(how, document.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "x": encoded(&point[1..33]), "y": encoded(&point[33..])
        });
        let key = Key::parse(&jwk.to_string()).unwrap();
        let given = pair.sign(&random, b"message").unwrap();
        assert!(key.verify("ES256", b"message", given.as_ref()));
        assert!(!key.verify("ES256", b"another", given.as_ref()));
        assert!(!key.verify("ES384", b"message", given.as_ref()));
        assert!(!key.verify("HS256", b"message", given.as_ref()));
    }

    #[test]
    fn an_eddsa_signature_verifies() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let jwk =
            serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref()) });
        let key = Key::parse(&jwk.to_string()).unwrap();
        assert!(key.verify("EdDSA", b"message", pair.sign(b"message").as_ref()));
        assert!(!key.verify("EdDSA", b"massage", pair.sign(b"message").as_ref()));
    }

    #[test]
    fn a_key_bound_to_an_algorithm_serves_no_other() {
        let jwk = serde_json::json!({ "kty": "oct", "k": encoded(&[7; 64]), "alg": "HS256" });
        let key = Key::parse(&jwk.to_string()).unwrap();
        let how = |algorithm| hmac::sign(&hmac::Key::new(algorithm, &[7; 64]), b"message");
        assert!(key.verify("HS256", b"message", how(hmac::HMAC_SHA256).as_ref()));
        assert!(!key.verify("HS512", b"message", how(hmac::HMAC_SHA512).as_ref()));
    }

    #[test]
    fn keys_that_are_weak_or_for_other_uses_are_refused() {
        let short = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encoded(&[0xc1; 128]));
        assert!(Key::parse(&short).is_err());
        let of = |bytes: &[u8]| format!(r#"{{"kty":"oct","k":"{}"}}"#, encoded(bytes));
        assert!(Key::parse(&of(&[7; 31])).is_err());
        assert!(Key::parse(&of(&[7; 32])).is_ok_and(|key| !key.verify("HS512", b"", &[0; 64])));
        assert!(Key::parse(&of(&[7; 64]).replace('}', r#","use":"enc"}"#)).is_err());
        assert!(Key::parse(r#"{"kty":"EC","crv":"secp256k1","x":"","y":""}"#).is_err());
        assert!(Key::parse("nonsense").is_err());
    }
}
