//! The filter's `config` table. The README says what each key means.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use weir_sdk::Span;

use crate::keys::Jwk;
use crate::require::RequirementConfig;
use crate::source::Place;

/// The table. It may hold a secret, so it has no `Debug`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub(crate) issuer: OneOrMany<String>,
    #[serde(default)]
    pub(crate) audience: OneOrMany<String>,
    pub(crate) algorithms: Option<Vec<String>>,
    #[serde(default)]
    keys: Vec<Value>,
    secret: Option<String>,
    #[serde(default = "authorization")]
    pub(crate) token: OneOrMany<Place>,
    #[serde(default)]
    pub(crate) optional: bool,
    #[serde(default = "yes")]
    pub(crate) forward: bool,
    #[serde(default)]
    pub(crate) facts: BTreeMap<String, String>,
    #[serde(default = "auth")]
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) require: Vec<RequirementConfig>,
    #[serde(default = "yes")]
    pub(crate) require_exp: bool,
    #[serde(default = "minute")]
    pub(crate) skew: Span,
    pub(crate) max_age: Option<Span>,
    pub(crate) typ: Option<String>,
    pub(crate) realm: Option<String>,
    #[serde(default = "minute")]
    pub(crate) remember: Span,
    #[serde(default = "ten_seconds")]
    pub(crate) remember_refused: Span,
}

impl Config {
    /// The keys that config itself holds.
    pub(crate) fn inline_keys(&self) -> Result<Vec<Jwk>, String> {
        let secret = match &self.secret {
            Some(secret) if secret.len() < 32 => {
                return Err("`secret` must have at least 32 bytes (RFC 7518 3.2)".to_owned());
            }
            Some(secret) => Some(json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) })),
            None => None,
        };
        let read = |key| Jwk::read(key).map_err(|problem| format!("`keys`: {problem}"));
        self.keys.iter().chain(&secret).map(read).collect()
    }
}

/// One value, or a list of them.
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = match Value::deserialize(deserializer)? {
            Value::Array(values) if values.is_empty() => return Err(D::Error::custom("an empty list")),
            Value::Array(values) => values,
            value => vec![value],
        };
        let read = |value| T::deserialize(value).map_err(D::Error::custom);
        values.into_iter().map(read).collect::<Result<_, _>>().map(OneOrMany)
    }
}

fn authorization() -> OneOrMany<Place> {
    OneOrMany(vec![Place::authorization()])
}

fn auth() -> String {
    "auth".to_owned()
}

fn yes() -> bool {
    true
}

fn minute() -> Span {
    Span::seconds(60)
}

fn ten_seconds() -> Span {
    Span::seconds(10)
}
