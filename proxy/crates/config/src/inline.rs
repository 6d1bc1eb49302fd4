//! JSON values written as TOML on one line: examples in help texts and in the reference.

use serde_json::Value;

/// `key = value`
pub(crate) fn assignment(key: &str, value: &Value) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match key.bytes().all(bare) {
        true => format!("{key} = {}", written(value)),
        false => format!("{} = {}", Value::from(key), written(value)),
    }
}

pub(crate) fn written(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Array(items) => format!("[{}]", joined(items.iter().map(written).collect())),
        Value::Object(map) if map.is_empty() => "{}".into(),
        Value::Object(map) => {
            format!("{{ {} }}", joined(map.iter().map(|(key, value)| assignment(key, value)).collect()))
        }
        Value::Number(number) => grouped(&number.to_string()),
        other => other.to_string(),
    }
}

/// Whole numbers of five digits and more with `_` between thousands, as TOML allows.
pub(crate) fn grouped(digits: &str) -> String {
    if digits.len() < 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits.to_owned();
    }
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_toml() {
        let value = serde_json::json!([{ "a.d": "x\"y", "b": 10_000, "c": [true, 1.5] }, {}]);
        let line = assignment("key", &value);
        assert_eq!(line, r#"key = [{ "a.d" = "x\"y", b = 10_000, c = [true, 1.5] }, {}]"#);
        assert_eq!(toml::de::DeTable::parse(&line).unwrap().into_inner().len(), 1);
    }
}
