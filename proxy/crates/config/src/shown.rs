//! A configuration as it may be shown to whoever asks the admin API: as written, without its secrets.
//!
//! Only a filter's own table can hold secrets; everything else names files. Which of its values are secret only
//! the filter knows, so that names decide, and rather one too many is hidden.

use serde_json::{Map, Value};

use crate::document::{Document, Node, Value as Written};

/// What stands in a secret's place.
const HIDDEN: &str = "(hidden)";

/// A key that contains one of these has its value hidden, whatever stands under it.
const SECRET: [&str; 10] =
    ["secret", "password", "passwd", "passphrase", "token", "credential", "private", "key", "salt", "auth"];

/// The file's tables as JSON, in the order written.
pub(crate) fn shown(document: &Document) -> Value {
    let mut all = json(&document.root);
    if let Some(Value::Object(filters)) = all.get_mut("filters") {
        for config in filters.values_mut().filter_map(|filter| filter.get_mut("config")) {
            hide(config);
        }
    }
    all
}

fn json(node: &Node) -> Value {
    match &node.value {
        Written::Text(text) | Written::Moment(text) => text.as_str().into(),
        Written::Whole(number) => (*number).into(),
        // JSON has neither infinities nor NaN.
        Written::Real(number) => {
            serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Value::Number)
        }
        Written::Flag(flag) => (*flag).into(),
        Written::List(items) => items.iter().map(json).collect(),
        Written::Table(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), json(&entry.node)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
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
