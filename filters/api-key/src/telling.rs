//! What later filters (facts) and the origin (header fields) get to know about a client.
//!
//! A field that is told here is believed upstream, so a field of the same name that the caller sent is
//! removed from every request.

use weir_sdk::{Passage, Text};

use crate::config::Config;
use crate::keys::{Client, check_fact};
use crate::place::Source;

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

pub(crate) struct Telling {
    prefix: String,
    client: Text,
    /// Field, and the label it tells; `client` for the client's name.
    headers: Vec<(Text, String)>,
}

impl Telling {
    pub(crate) fn new(config: &Config, source: &Source) -> Result<Self, String> {
        check_fact(&config.prefix).map_err(|problem| format!("`prefix`: {problem}"))?;
        if OWN_PREFIXES.contains(&config.prefix.split('.').next().unwrap_or_default()) {
            return Err(format!("`prefix`: facts of \"{}\" are the proxy's own", config.prefix));
        }
        let mut headers = Vec::new();
        for (name, label) in &config.headers {
            let name = name.to_ascii_lowercase();
            check_field(&name)?;
            if source.reads(&name) {
                return Err(format!("`headers`: \"{name}\" is where the key is"));
            }
            headers.push((Text::Shared(name.into()), label.clone()));
        }
        let client = Text::Shared(format!("{}.client", config.prefix).into());
        Ok(Telling { prefix: config.prefix.clone(), client, headers })
    }

    /// Nobody is known: what the caller claims to be is removed.
    pub(crate) fn strip(&self, passage: Passage) -> Passage {
        self.headers.iter().fold(passage, |passage, (name, _)| passage.remove(name))
    }

    pub(crate) fn tell(&self, client: &Client, passage: Passage) -> Passage {
        let mut passage = passage.fact(&self.client, &client.name);
        for (label, value) in &client.labels {
            passage = passage.fact(format!("{}.{label}", self.prefix), value);
        }
        for (name, label) in &self.headers {
            passage = match told(client, label) {
                Some(value) => passage.set(name, value.clone()),
                None => passage.remove(name),
            };
        }
        passage
    }
}

fn told<'a>(client: &'a Client, label: &str) -> Option<&'a Text> {
    if label == "client" {
        return Some(&client.name);
    }
    client.labels.iter().find(|(known, _)| known == label).map(|(_, value)| value)
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
