//! Whose key it is: clients by the digest of their keys.
//!
//! Digests are looked up in a hash table, which is not constant in time, and need not be: what its
//! time could tell is how the digest of what was sent compares with digests that are kept. A caller
//! cannot aim at a digest, so that says nothing about a key that was not guessed whole. A comparison
//! of the keys themselves would tell them byte by byte.

use std::collections::HashMap;
use std::rc::Rc;

use weir_sdk::{Moment, Text, crypto};

use crate::config::{Entry, Table};

/// A longer key is nobody's.
const MAX_BYTES: usize = 1_024;

/// Who owns a key, and what it opens.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: Text,
    pub(crate) enabled: bool,
    pub(crate) expires: Option<Moment>,
    /// Without the slash at the end. None: every path.
    pub(crate) paths: Vec<String>,
    /// By name.
    pub(crate) labels: Vec<(String, Text)>,
}

type Known = HashMap<[u8; 32], Rc<Client>>;

pub(crate) struct Keys {
    of_config: Known,
    of_data: Known,
}

impl Keys {
    pub(crate) fn new(table: &Table) -> Result<Self, String> {
        Ok(Keys { of_config: known(table)?, of_data: Known::new() })
    }

    /// Takes the data entry's table, JSON of the same shape as in config. An empty one is taken as well:
    /// whoever keeps the table may mean it.
    pub(crate) fn replace(&mut self, content: &[u8]) -> Result<(), String> {
        let table: Table = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        let of_data = known(&table)?;
        for (digest, client) in &of_data {
            if let Some(other) = self.of_config.get(digest) {
                return Err(same_key(&client.name, &other.name));
            }
        }
        self.of_data = of_data;
        Ok(())
    }

    pub(crate) fn find(&self, key: &str) -> Option<&Rc<Client>> {
        if key.is_empty() || key.len() > MAX_BYTES {
            return None;
        }
        let digest = crypto::sha256(key.as_bytes());
        self.of_config.get(&digest).or_else(|| self.of_data.get(&digest))
    }
}

impl Client {
    fn new(name: &str, entry: &Entry) -> Result<Self, String> {
        let labels = entry.labels.iter().map(|(label, value)| {
            check_fact(label)?;
            check_value(value)?;
            if label == "client" {
                return Err("the label \"client\" is the client's name already".to_owned());
            }
            Ok((label.clone(), shared(value)))
        });
        check_value(name)?;
        Ok(Client {
            name: shared(name),
            enabled: entry.enabled,
            expires: entry.expires,
            paths: entry.paths.iter().map(|path| path.trim_end_matches('/').to_owned()).collect(),
            labels: labels.collect::<Result<_, String>>()?,
        })
    }

    /// Whether the path lies below one of the client's. A path that others may read differently does
    /// not: with dot segments (RFC 3986 5.2.4), empty ones, backslashes, or these in disguise.
    pub(crate) fn may_reach(&self, path: &[u8]) -> bool {
        let Ok(path) = std::str::from_utf8(path) else { return false };
        let hidden = ["%2e", "%2f", "%5c"];
        let lower = path.to_ascii_lowercase();
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let is_empty = segment.is_empty() && segments.peek().is_some();
            if is_empty || segment == "." || segment == ".." {
                return false;
            }
        }
        if path.contains('\\') || hidden.iter().any(|hidden| lower.contains(hidden)) {
            return false;
        }
        let below = |prefix: &String| {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.paths.iter().any(below)
    }
}

fn known(table: &Table) -> Result<Known, String> {
    let mut known = Known::new();
    for (name, entry) in table {
        let client = Client::new(name, entry).map_err(|problem| format!("key \"{name}\": {problem}"))?;
        let client = Rc::new(client);
        for digest in &entry.digests {
            if let Some(other) = known.insert(*digest, Rc::clone(&client)) {
                return Err(same_key(name, &other.name));
            }
        }
    }
    Ok(known)
}

fn same_key(one: &str, other: &str) -> String {
    format!("\"{one}\" and \"{other}\" have the same key")
}

fn shared(text: &str) -> Text {
    Text::Shared(text.into())
}

/// Facts are told with these names.
pub(crate) fn check_fact(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("\"{name}\" must be of a-z, 0-9, \"_\", \"-\" and \".\""));
    }
    Ok(())
}

/// Told in fields as well: no control characters, no blanks at the ends (RFC 9110 5.5).
fn check_value(value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) || value.trim_matches(' ') != value {
        return Err("names and labels have no control characters and no blanks at their ends".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reaches_what_lies_below_its_paths() {
        let client = Client {
            name: "test".into(),
            enabled: true,
            expires: None,
            paths: vec!["/users".to_owned(), "/a/b".to_owned()],
            labels: Vec::new(),
        };
        for (path, reached) in [
            ("/users", true),
            ("/users/", true),
            ("/users/7/x.y", true),
            ("/a/b/c", true),
            ("/usersx", false),
            ("/a", false),
            ("/", false),
            ("", false),
            ("*", false),
            ("/users/../admin", false),
            ("/users/./x", false),
            ("/users/..", false),
            ("/users//admin", false),
            ("/users/%2e%2E/admin", false),
            ("/users/..%2fadmin", false),
            ("/users/..\\admin", false),
            ("/users/%5c", false),
            ("/users/%20", true),
        ] {
            assert_eq!(client.may_reach(path.as_bytes()), reached, "{path}");
        }
        assert!(!client.may_reach(b"/users/\xff"));
    }
}
