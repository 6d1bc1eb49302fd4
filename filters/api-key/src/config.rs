//! The filter's `config` table, and an entry of the table of keys. The README says what each key means.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use weir_sdk::{Moment, Span};

/// Names of clients, and their keys.
pub(crate) type Table = BTreeMap<String, Entry>;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub(crate) keys: Table,
    #[serde(default)]
    pub(crate) from: Place,
    #[serde(default)]
    pub(crate) optional: bool,
    #[serde(default)]
    pub(crate) forward: bool,
    #[serde(default = "api")]
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) realm: Option<String>,
    #[serde(default = "minute")]
    pub(crate) remember: Span,
    #[serde(default = "ten_seconds")]
    pub(crate) remember_refused: Span,
}

/// Where keys are: one of `header`, `query`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) header: Option<String>,
    pub(crate) scheme: Option<String>,
    pub(crate) query: Option<String>,
}

impl Default for Place {
    fn default() -> Self {
        Place { header: Some("x-api-key".to_owned()), scheme: None, query: None }
    }
}

/// A client. Written as its digest alone, or as a table.
#[derive(Debug)]
pub(crate) struct Entry {
    /// One or, while a key is being replaced, several.
    pub(crate) digests: Vec<[u8; 32]>,
    pub(crate) enabled: bool,
    pub(crate) expires: Option<Moment>,
    pub(crate) paths: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            sha256: Value,
            enabled: Option<bool>,
            expires: Option<Moment>,
            #[serde(default)]
            paths: Vec<String>,
            #[serde(default)]
            labels: BTreeMap<String, String>,
        }
        let written = match Value::deserialize(deserializer)? {
            digest @ Value::String(_) => Written {
                sha256: digest,
                enabled: None,
                expires: None,
                paths: Vec::new(),
                labels: BTreeMap::new(),
            },
            table => Written::deserialize(table).map_err(D::Error::custom)?,
        };
        if written.paths.iter().any(|path| !path.starts_with('/')) {
            return Err(D::Error::custom("a path begins with \"/\""));
        }
        Ok(Entry {
            digests: digests(&written.sha256).ok_or_else(|| D::Error::custom(NO_DIGEST))?,
            enabled: written.enabled.unwrap_or(true),
            expires: written.expires,
            paths: written.paths,
            labels: written.labels,
        })
    }
}

/// Does not quote what was given: it may be a key, where its digest was meant.
const NO_DIGEST: &str = "a SHA-256 digest is 64 hexadecimal digits, with or without \"sha256:\" before";

fn digests(written: &Value) -> Option<Vec<[u8; 32]>> {
    match written {
        Value::String(text) => Some(vec![digest(text)?]),
        Value::Array(texts) if !texts.is_empty() => texts.iter().map(|text| digest(text.as_str()?)).collect(),
        _ => None,
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    if text.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(digest)
}

fn api() -> String {
    "api".to_owned()
}

fn minute() -> Span {
    Span::seconds(60)
}

fn ten_seconds() -> Span {
    Span::seconds(10)
}
