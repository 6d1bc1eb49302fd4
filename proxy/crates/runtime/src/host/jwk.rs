//! A key as a JWK, and signatures checked with it.
//!
//! What a key may verify is fixed by its kind, its curve and its `alg`; the algorithm that a stranger's
//! token names only has to be among these. So a public RSA key is never taken for an HMAC secret (RFC 8725
//! 2.1), and `none` is no algorithm at all.
//!
//! RFC 7517 (JWK), RFC 7518 (RSA, EC, HMAC), RFC 8037 (Ed25519), RFC 8725 (advice).

use std::sync::OnceLock;

use aws_lc_rs::{
    hmac,
    signature::{
        self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
        ParsedPublicKey, VerificationAlgorithm,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

const MAX_JWK_BYTES: usize = 16 << 10;
/// RFC 7518 3.3: smaller must not be used. Larger only costs time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key or a secret.
pub(crate) struct Key {
    kind: Kind,
    /// The only algorithm it is for, if it says so.
    bound_to: Option<String>,
}

enum Kind {
    Rsa(Box<Rsa>),
    /// The algorithm's name is part of the key: one curve, one algorithm.
    Curve {
        algorithm: &'static str,
        key: ParsedPublicKey,
    },
    Secret(Vec<u8>),
}

/// `RSAPublicKey` in DER, and the key ready for each algorithm once it was used.
struct Rsa {
    der: Vec<u8>,
    ready: [OnceLock<Option<ParsedPublicKey>>; 6],
}

/// Members that matter here; others are ignored (RFC 7517 4).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    d: Option<String>,
}

impl Key {
    /// Reads a JWK. The error is for the operator and holds no key material.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        if json.len() > MAX_JWK_BYTES {
            return Err(format!("a JWK longer than {MAX_JWK_BYTES} bytes"));
        }
        let jwk: Jwk = serde_json::from_str(json).map_err(|error| describe(&error))?;
        jwk.check_usage()?;
        let kind = match jwk.kty.as_str() {
            "RSA" => Kind::Rsa(Box::new(Rsa::from(&jwk)?)),
            "EC" => elliptic(&jwk)?,
            "OKP" => edwards(&jwk)?,
            "oct" => Kind::Secret(secret(&jwk)?),
            other => return Err(format!("kty {other:?} is not supported")),
        };
        let key = Self { kind, bound_to: jwk.alg };
        key.check_binding()?;
        Ok(key)
    }

    /// Whether the signature is right. False as well for an algorithm that is not this key's.
    pub(super) fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        if self.bound_to.as_deref().is_some_and(|bound| bound != algorithm) {
            return false;
        }
        match &self.kind {
            Kind::Rsa(rsa) => rsa.verify(algorithm, message, signature),
            Kind::Curve { algorithm: own, key } => {
                is_same_curve_algorithm(own, algorithm) && key.verify_sig(message, signature).is_ok()
            }
            Kind::Secret(secret) => verify_hmac(secret, algorithm, message, signature),
        }
    }

    /// An `alg` that the key's kind can never satisfy is a mistake worth telling at once.
    fn check_binding(&self) -> Result<(), String> {
        let Some(bound) = &self.bound_to else { return Ok(()) };
        let fits = match &self.kind {
            Kind::Rsa(_) => rsa_algorithm(bound).is_some(),
            Kind::Curve { algorithm, .. } => is_same_curve_algorithm(algorithm, bound),
            Kind::Secret(secret) => hmac_algorithm(bound).is_some_and(|(_, least)| secret.len() >= least),
        };
        if fits { Ok(()) } else { Err(format!("alg {bound:?} does not fit this key's kind or length")) }
    }
}

impl Jwk {
    fn check_usage(&self) -> Result<(), String> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err("\"use\" is not \"sig\"".to_owned());
        }
        if self.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err("\"key_ops\" does not hold \"verify\"".to_owned());
        }
        if self.d.is_some() {
            return Err("a private key; give the public one".to_owned());
        }
        Ok(())
    }
}

/// serde's own text could quote what it read.
fn describe(error: &serde_json::Error) -> String {
    format!("not a JWK: {:?} error in line {}, column {}", error.classify(), error.line(), error.column())
}

fn member(value: Option<&String>, name: &str) -> Result<Vec<u8>, String> {
    let text = value.ok_or_else(|| format!("\"{name}\" is missing"))?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("\"{name}\" is not base64url"))?;
    if bytes.is_empty() { Err(format!("\"{name}\" is empty")) } else { Ok(bytes) }
}

fn elliptic(jwk: &Jwk) -> Result<Kind, String> {
    let (algorithm, verification, bytes): (_, &'static dyn VerificationAlgorithm, usize) =
        match jwk.crv.as_deref() {
            Some("P-256") => ("ES256", &ECDSA_P256_SHA256_FIXED, 32),
            Some("P-384") => ("ES384", &ECDSA_P384_SHA384_FIXED, 48),
            Some("P-521") => ("ES512", &ECDSA_P521_SHA512_FIXED, 66),
            other => return Err(format!("crv {other:?} is not supported")),
        };
    let (x, y) = (member(jwk.x.as_ref(), "x")?, member(jwk.y.as_ref(), "y")?);
    if x.len() != bytes || y.len() != bytes {
        return Err(format!("\"x\" and \"y\" must have {bytes} bytes (RFC 7518 6.2.1.2)"));
    }
    let point = [&[4], &*x, &*y].concat();
    let key = ParsedPublicKey::new(verification, point).map_err(|_| "no point of its curve".to_owned())?;
    Ok(Kind::Curve { algorithm, key })
}

fn edwards(jwk: &Jwk) -> Result<Kind, String> {
    if jwk.crv.as_deref() != Some("Ed25519") {
        return Err(format!("crv {:?} is not supported", jwk.crv));
    }
    let key = ParsedPublicKey::new(&ED25519, member(jwk.x.as_ref(), "x")?);
    Ok(Kind::Curve { algorithm: "EdDSA", key: key.map_err(|_| "no Ed25519 key".to_owned())? })
}

/// RFC 9864 calls EdDSA with Ed25519 by the curve's name.
fn is_same_curve_algorithm(own: &str, named: &str) -> bool {
    own == named || (own == "EdDSA" && named == "Ed25519")
}

fn secret(jwk: &Jwk) -> Result<Vec<u8>, String> {
    let secret = member(jwk.k.as_ref(), "k")?;
    let least = 32;
    if secret.len() < least {
        return Err(format!("a secret shorter than {least} bytes (RFC 7518 3.2)"));
    }
    Ok(secret)
}

/// The algorithm, and the shortest secret it may have (RFC 7518 3.2).
fn hmac_algorithm(name: &str) -> Option<(hmac::Algorithm, usize)> {
    match name {
        "HS256" => Some((hmac::HMAC_SHA256, 32)),
        "HS384" => Some((hmac::HMAC_SHA384, 48)),
        "HS512" => Some((hmac::HMAC_SHA512, 64)),
        _ => None,
    }
}

/// Compares in constant time.
fn verify_hmac(secret: &[u8], algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
    let Some((algorithm, least)) = hmac_algorithm(algorithm) else { return false };
    secret.len() >= least && hmac::verify(&hmac::Key::new(algorithm, secret), message, signature).is_ok()
}

/// The algorithm, and its place in [`Rsa::ready`].
fn rsa_algorithm(name: &str) -> Option<(usize, &'static dyn VerificationAlgorithm)> {
    match name {
        "RS256" => Some((0, &signature::RSA_PKCS1_2048_8192_SHA256)),
        "RS384" => Some((1, &signature::RSA_PKCS1_2048_8192_SHA384)),
        "RS512" => Some((2, &signature::RSA_PKCS1_2048_8192_SHA512)),
        "PS256" => Some((3, &signature::RSA_PSS_2048_8192_SHA256)),
        "PS384" => Some((4, &signature::RSA_PSS_2048_8192_SHA384)),
        "PS512" => Some((5, &signature::RSA_PSS_2048_8192_SHA512)),
        _ => None,
    }
}

impl Rsa {
    fn from(jwk: &Jwk) -> Result<Self, String> {
        let modulus = without_leading_zeros(member(jwk.n.as_ref(), "n")?);
        let exponent = without_leading_zeros(member(jwk.e.as_ref(), "e")?);
        let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err(format!(
                "an RSA key of {bits} bits; {} to {} are allowed",
                RSA_BITS.start(),
                RSA_BITS.end()
            ));
        }
        if exponent.last().is_none_or(|last| last % 2 == 0) || exponent == [1] {
            return Err("\"e\" is no RSA exponent".to_owned());
        }
        let der = der_sequence(&[der_integer(&modulus), der_integer(&exponent)].concat());
        let rsa = Self { der, ready: Default::default() };
        let usable = rsa.ready("RS256").is_some();
        if usable { Ok(rsa) } else { Err("no usable RSA key".to_owned()) }
    }

    fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        self.ready(algorithm).is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    fn ready(&self, algorithm: &str) -> Option<&ParsedPublicKey> {
        let (place, algorithm) = rsa_algorithm(algorithm)?;
        self.ready[place].get_or_init(|| ParsedPublicKey::new(algorithm, &self.der).ok()).as_ref()
    }
}

fn without_leading_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}

/// `RSAPublicKey ::= SEQUENCE { INTEGER, INTEGER }` (RFC 8017 A.1.1), in DER (X.690 8.1.3, 8.3).
fn der_sequence(content: &[u8]) -> Vec<u8> {
    der(0x30, content)
}

fn der_integer(magnitude: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if magnitude.first().is_none_or(|first| first & 0x80 != 0) { &[0] } else { &[] };
    der(0x02, &[sign, magnitude].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count().min(length.len() - 1)..];
    let mut encoded = vec![tag];
    if content.len() >= 0x80 {
        encoded.push(0x80 | length.len() as u8);
    }
    encoded.extend_from_slice(length);
    encoded.extend_from_slice(content);
    encoded
}

#[cfg(test)]
#[path = "jwk_tests.rs"]
mod tests;
