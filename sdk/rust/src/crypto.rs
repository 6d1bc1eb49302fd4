//! Cryptography done by the proxy's own library, natively: an unseen token must not cost a guest's
//! big-number arithmetic, or strangers could buy CPU with it.

use crate::backend;

/// A public key or secret the proxy holds for this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u32);

impl Key {
    /// Takes a JWK (RFC 7517, one key as JSON). In `configure` or `update`; at most 256 per instance.
    /// The error says what is wrong with it.
    pub fn from_jwk(jwk: &str) -> Result<Key, String> {
        backend::key(jwk).map(Key)
    }

    /// Whether the signature is right. `algorithm` as in RFC 7518 and RFC 8037 (RS256, PS384, ES256,
    /// EdDSA, HS512 ...). False as well for a key of another kind or bound to another `alg`.
    pub fn verify(self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        backend::verify(self.0, algorithm, message, signature)
    }
}

/// Forgets every key of this instance, for an `update` that replaces a key set. Handles made before
/// mean other keys afterwards: replace them all.
pub fn forget_keys() {
    backend::forget_keys();
}

/// SHA-256 (FIPS 180-4), 32 bytes.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    backend::sha256(data)
}
