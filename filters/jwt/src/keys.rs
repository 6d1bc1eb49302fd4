//! The keys tokens are checked with: those of config and those of the data entry `jwks`.
//!
//! The keys themselves lie with the proxy; kept here is what chooses among them. The proxy numbers
//! keys anew whenever they are forgotten, so a changed set is made anew as a whole, and the JWKs are
//! kept as text to go back to when a new set turns out useless.

use serde::Deserialize;
use serde_json::Value;
use weir_sdk::crypto::{self, Key};

use crate::algorithm::{Algorithm, KeyKind};

/// The proxy's own bound.
const MAX_KEYS: usize = 256;
/// A token without `kid` is tried with so many keys at the outside: each costs a signature check.
const MAX_TRIES: usize = 8;

/// A key as config or the key set gives it, with what chooses it.
#[derive(Clone)]
pub(crate) struct Jwk {
    text: String,
    kid: Option<String>,
    kind: KeyKind,
    /// The one algorithm it is for, if it says so.
    alg: Option<String>,
}

pub(crate) struct KeySet {
    of_config: Vec<Jwk>,
    of_data: Vec<Jwk>,
    /// Those with a `kid` first.
    keys: Vec<(Jwk, Key)>,
}

impl KeySet {
    /// Each key of config must be usable.
    pub(crate) fn new(of_config: Vec<Jwk>) -> Result<Self, String> {
        if of_config.len() > MAX_KEYS {
            return Err(format!("`keys`: more than {MAX_KEYS}"));
        }
        let mut set = KeySet { of_config, of_data: Vec::new(), keys: Vec::new() };
        match set.make().pop() {
            Some(problem) => Err(format!("`keys`: {problem}")),
            None => Ok(set),
        }
    }

    /// Takes a new key set (RFC 7517 5). Keys that cannot be used are passed over, as the RFC advises,
    /// and named in the log; if none can, the set is refused and the keys known before stay.
    pub(crate) fn replace(&mut self, content: &[u8]) -> Result<(), String> {
        let (jwks, mut problems) = read_set(content)?;
        if jwks.len() + self.of_config.len() > MAX_KEYS {
            return Err(format!("{} keys; at most {MAX_KEYS} are kept", jwks.len()));
        }
        let before = std::mem::replace(&mut self.of_data, jwks);
        problems.extend(self.make());
        if self.keys.len() <= self.of_config.len() {
            self.of_data = before;
            self.make();
            problems.push("no usable key".to_owned());
            return Err(format!("the key set is refused: {}", problems.join("; ")));
        }
        for problem in problems {
            weir_sdk::warn!("a key of the set is passed over: {problem}");
        }
        Ok(())
    }

    /// The keys a token with this header may be signed with, the most fitting first.
    pub(crate) fn fitting(&self, algorithm: Algorithm, kid: Option<&str>) -> impl Iterator<Item = Key> {
        let fits = move |jwk: &Jwk| {
            jwk.kind == algorithm.key_kind()
                && jwk.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
                && (kid.is_none() || jwk.kid.is_none() || jwk.kid.as_deref() == kid)
        };
        self.keys.iter().filter(move |(jwk, _)| fits(jwk)).map(|(_, key)| *key).take(MAX_TRIES)
    }

    /// Makes every key anew. Returns what is wrong with those that are left out.
    fn make(&mut self) -> Vec<String> {
        crypto::forget_keys();
        self.keys.clear();
        let mut problems = Vec::new();
        for jwk in self.of_config.iter().chain(&self.of_data) {
            match Key::from_jwk(&jwk.text) {
                Ok(key) => self.keys.push((jwk.clone(), key)),
                Err(reason) => problems.push(format!("{}: {reason}", jwk.label())),
            }
        }
        self.keys.sort_by_key(|(jwk, _)| jwk.kid.is_none());
        problems
    }
}

impl Jwk {
    /// Reads what chooses the key. The error holds no key material.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Members {
            kty: String,
            crv: Option<String>,
            kid: Option<String>,
            alg: Option<String>,
        }
        let members = Members::deserialize(value).map_err(|_| "not a JWK: no text `kty`".to_owned())?;
        let kind = KeyKind::of(&members.kty, members.crv.as_deref());
        let kind = kind.ok_or_else(|| format!("kty \"{}\" is not supported here", members.kty))?;
        Ok(Jwk { text: value.to_string(), kid: members.kid, kind, alg: members.alg })
    }

    fn label(&self) -> String {
        format!("kid \"{}\"", self.kid.as_deref().unwrap_or("(none)"))
    }
}

/// The keys of a set that can be read, and what is wrong with the others.
fn read_set(content: &[u8]) -> Result<(Vec<Jwk>, Vec<String>), String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    // serde's text could quote what it read.
    let set: Set = serde_json::from_slice(content).map_err(|error| {
        format!("not a key set (RFC 7517 5), line {}, column {}", error.line(), error.column())
    })?;
    let (mut jwks, mut problems) = (Vec::new(), Vec::new());
    for value in set.keys.iter().take(4 * MAX_KEYS) {
        match Jwk::read(value) {
            Ok(jwk) => jwks.push(jwk),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((jwks, problems))
}
