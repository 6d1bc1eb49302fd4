//! A configuration as it may be shown to whoever asks the admin API: as written, without its secrets.
//!
//! Only a filter's own table can hold secrets; everything else names files. Which of its values are secret only
//! the filter knows, so that names decide, and rather one too many is hidden.

use std::{fmt, sync::Arc};

use serde_json::Value;

use crate::document::Document;

/// What stands in a secret's place.
const HIDDEN: &str = "(hidden)";

/// A key that contains one of these has its value hidden, whatever stands under it.
const SECRET: [&str; 10] =
    ["secret", "password", "passwd", "passphrase", "token", "credential", "private", "key", "salt", "auth"];

/// A file as it was written.
///
/// It is kept as text, and read again when somebody asks: as a tree it takes ten times the memory, and a reload of
/// ten thousand routes should not make one that nobody looks at.
#[derive(Clone, PartialEq, Default)]
pub struct Written(Arc<str>);

impl Written {
    pub(crate) fn of(document: &Document<'_>) -> Self {
        Self(document.text().into())
    }

    /// The file's tables as JSON, in the order written, without secrets.
    pub fn shown(&self) -> Value {
        Document::parse(&self.0, "").map_or(Value::Null, |document| shown(&document))
    }
}

/// May be logged: without what is in it.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Written({} bytes)", self.0.len())
    }
}

fn shown(document: &Document<'_>) -> Value {
    let mut all = serde_json::to_value(&document.root).unwrap_or_default();
    if let Some(Value::Object(filters)) = all.get_mut("filters") {
        for config in filters.values_mut().filter_map(|filter| filter.get_mut("config")) {
            hide(config);
        }
    }
    all
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let key = key.to_ascii_lowercase();
                if SECRET.iter().any(|secret| key.contains(secret)) && !value.is_boolean() {
                    *value = HIDDEN.into();
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_shown_but_what_filters_keep_secret() {
        let text = r#"
            [listeners.web]
            address = "127.0.0.1:1"
            tls = { certificates = [{ cert = "a.pem", key = "a.key" }] }
            [filters.login]
            wasm = "builtin:jwt"
            [filters.login.config]
            issuer = "me"
            Secret = "s3cr3t"
            keys = [{ k = "s3cr3t" }]
            strict = inf
            [[filters.login.config.clients]]
            name = "one"
            api_key = "s3cr3t"
        "#;
        let shown = shown(&Document::parse(text, "test").unwrap());
        assert!(!shown.to_string().contains("s3cr3t"), "{shown}");
        let config = &shown["filters"]["login"]["config"];
        assert_eq!(config["issuer"], "me");
        assert_eq!(config["keys"], HIDDEN);
        assert_eq!(config["strict"], "inf");
        assert_eq!(config["clients"][0]["name"], "one");
        assert_eq!(shown["listeners"]["web"]["tls"]["certificates"][0]["key"], "a.key");
    }
}
