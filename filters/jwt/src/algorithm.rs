//! The signature algorithms, and which kind of key each goes with.
//!
//! A token only names an algorithm; what is used is decided here, by the operator's list and by the
//! key's kind. So `none` is not an algorithm, and a public key can never stand in for a secret (RFC
//! 8725 2.1, 3.1). The proxy's own check of key against algorithm comes on top.

/// What a key is made of, as far as an algorithm cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
    Secret,
}

impl KeyKind {
    /// By the members `kty` and `crv` of a JWK (RFC 7518 6, RFC 8037 2).
    pub(crate) fn of(kty: &str, crv: Option<&str>) -> Option<Self> {
        Some(match (kty, crv) {
            ("RSA", _) => KeyKind::Rsa,
            ("EC", Some("P-256")) => KeyKind::P256,
            ("EC", Some("P-384")) => KeyKind::P384,
            ("EC", Some("P-521")) => KeyKind::P521,
            ("OKP", Some("Ed25519")) => KeyKind::Ed25519,
            ("oct", _) => KeyKind::Secret,
            _ => return None,
        })
    }
}

/// RFC 7518 3.1 and RFC 8037 3.1.
const ALGORITHMS: [(&str, KeyKind); 13] = [
    ("RS256", KeyKind::Rsa),
    ("RS384", KeyKind::Rsa),
    ("RS512", KeyKind::Rsa),
    ("PS256", KeyKind::Rsa),
    ("PS384", KeyKind::Rsa),
    ("PS512", KeyKind::Rsa),
    ("ES256", KeyKind::P256),
    ("ES384", KeyKind::P384),
    ("ES512", KeyKind::P521),
    ("EdDSA", KeyKind::Ed25519),
    ("HS256", KeyKind::Secret),
    ("HS384", KeyKind::Secret),
    ("HS512", KeyKind::Secret),
];

/// A position in [`ALGORITHMS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Algorithm(usize);

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALGORITHMS.iter().position(|(known, _)| *known == name).map(Algorithm)
    }

    /// Those that config lists; all, if it lists none.
    pub(crate) fn allowed(names: Option<&[String]>) -> Result<Vec<Self>, String> {
        let Some(names) = names else { return Ok((0..ALGORITHMS.len()).map(Algorithm).collect()) };
        if names.is_empty() {
            return Err("`algorithms` is empty: no token could pass".to_owned());
        }
        names.iter().map(|name| Self::named(name).ok_or_else(|| unknown(name))).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        ALGORITHMS[self.0].0
    }

    pub(crate) fn key_kind(self) -> KeyKind {
        ALGORITHMS[self.0].1
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = ALGORITHMS.iter().map(|(known, _)| *known).collect();
    format!("`algorithms`: \"{name}\" is not supported; known are {}", known.join(", "))
}
