//! What a verified token's claims tell later filters (facts) and the origin (header fields).
//!
//! A field that is told here is believed upstream. So a field of the same name that the caller sent
//! is removed from every request, and a claim whose text could be read as something else is refused.

use serde_json::Value;
use weir_sdk::{Passage, Text};

use crate::config::Config;
use crate::json::Object;
use crate::refusal::Refusal;
use crate::require::find;
use crate::source::Sources;

/// Fields that frame or route a message: the proxy's to write.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// First words of facts that the proxy states itself.
const OWN_PREFIXES: [&str; 7] = ["peer", "tls", "listener", "request", "route", "time", "random"];

pub(crate) struct Mapping {
    /// Fact and claim.
    facts: Vec<(Text, String)>,
    /// Field and claim.
    headers: Vec<(Text, String)>,
}

impl Mapping {
    pub(crate) fn new(config: &Config, sources: &Sources) -> Result<Self, String> {
        check_fact("prefix", &config.prefix)?;
        if OWN_PREFIXES.contains(&config.prefix.split('.').next().unwrap_or_default()) {
            return Err(format!("`prefix`: facts of \"{}\" are the proxy's own", config.prefix));
        }
        let mut mapping = Mapping { facts: Vec::new(), headers: Vec::new() };
        for (name, claim) in &config.facts {
            check_fact("facts", name)?;
            mapping.facts.push((shared(&format!("{}.{name}", config.prefix)), claim.clone()));
        }
        for (name, claim) in &config.headers {
            let name = name.to_ascii_lowercase();
            check_field(&name)?;
            if sources.reads(&name) {
                return Err(format!("`headers`: \"{name}\" is where the token is"));
            }
            mapping.headers.push((shared(&name), claim.clone()));
        }
        Ok(mapping)
    }

    /// Nobody is known: what the caller claims to be is removed.
    pub(crate) fn strip(&self, passage: Passage) -> Passage {
        self.headers.iter().fold(passage, |passage, (name, _)| passage.remove(name))
    }

    /// Tells the claims that are there.
    pub(crate) fn tell(&self, claims: &Object, mut passage: Passage) -> Result<Passage, Refusal> {
        for (name, claim) in &self.facts {
            if let Some(value) = told(claims, claim)? {
                passage = passage.fact(name, value);
            }
        }
        for (name, claim) in &self.headers {
            passage = match told(claims, claim)? {
                Some(value) => passage.set(name, value),
                None => passage.remove(name),
            };
        }
        Ok(passage)
    }
}

fn shared(text: &str) -> Text {
    Text::Shared(text.into())
}

/// A claim as text: text as it is, a list joined with ",", anything else as JSON.
fn told(claims: &Object, path: &str) -> Result<Option<String>, Refusal> {
    let text = match find(claims, path) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            if items.iter().any(|item| item.contains(',')) {
                return Err(Refusal::Claim);
            }
            items.join(",")
        }
        Some(value) => plain(value),
    };
    // Blanks around a field's value are not part of it (RFC 9110 5.5): " ann" would arrive as "ann".
    if text.chars().any(char::is_control) || text.trim_matches([' ', '\t']) != text {
        return Err(Refusal::Claim);
    }
    Ok(Some(text))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn check_fact(key: &str, name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("`{key}`: \"{name}\" must be of a-z, 0-9, \"_\", \"-\" and \".\""));
    }
    Ok(())
}

/// A token (RFC 9110 5.6.2) that is not the proxy's own.
fn check_field(name: &str) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("`headers`: \"{name}\" is not the name of a field"));
    }
    if FRAMING.contains(&name) {
        return Err(format!("`headers`: \"{name}\" is the proxy's to write"));
    }
    Ok(())
}
