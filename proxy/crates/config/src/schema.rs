//! The JSON schema of the configuration file, made from the file types.

use schemars::{
    JsonSchema, Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::Value;

use crate::file::File;

/// The JSON Schema (draft 2020-12) of the configuration file, with a description for each key and the default
/// where there is one. Beside standard keywords it has `x-least` and `x-most`, which bound sizes and durations,
/// and `x-later`, which lists values that a later version will accept.
pub fn schema() -> Value {
    let mut schema = schema_of::<File>();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Weir configuration".into());
    }
    schema
}

/// The same of any file that is read by such types.
pub(crate) fn schema_of<F: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<F>();
    RecursiveTransform(as_toml).transform(&mut schema);
    schema.to_value()
}

/// Leaves out what only JSON or Rust would say: null, the widths of numbers, defaults of whole tables (their
/// keys have their own) and of keys that must be written anyway.
fn as_toml(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(mut either)) = schema.remove("anyOf") {
        either.retain(|one| one.get("type").is_none_or(|name| name != "null"));
        match either.as_slice() {
            [Value::Object(only)] => schema.extend(only.clone()),
            _ => _ = schema.insert("anyOf".into(), Value::Array(either)),
        }
    }
    let width = |format: &Value| {
        format
            .as_str()
            .is_some_and(|name| name.starts_with("uint") || name.starts_with("int") || name == "double")
    };
    if schema.get("format").is_some_and(width) {
        schema.remove("format");
    }
    if matches!(schema.get("default"), Some(Value::Null | Value::Object(_))) {
        schema.remove("default");
    }
    let required = schema.get("required").cloned();
    for key in required.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str) {
        if let Some(Value::Object(property)) = schema.get_mut("properties").and_then(|all| all.get_mut(key)) {
            property.remove("default");
        }
    }
}

/// A keyword of a schema; when it is not there, of the definition that the schema refers to.
pub(crate) fn keyword<'s>(root: &'s Value, schema: &'s Value, name: &str) -> Option<&'s Value> {
    schema.get(name).or_else(|| definition(root, schema)?.get(name))
}

/// The definition that a schema refers to.
pub(crate) fn definition<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// The values of an enumeration with what they mean, if that is written.
pub(crate) fn choices<'s>(root: &'s Value, schema: &'s Value) -> Option<Vec<(&'s str, Option<&'s str>)>> {
    let mut choices = Vec::new();
    if let Some(Value::Array(plain)) = keyword(root, schema, "enum") {
        choices.extend(plain.iter().filter_map(|value| Some((value.as_str()?, None))));
    }
    if let Some(Value::Array(described)) = keyword(root, schema, "oneOf") {
        for one in described {
            let meaning = one.get("description").and_then(Value::as_str);
            if let Some(value) = one.get("const").and_then(Value::as_str) {
                choices.push((value, meaning));
            }
            for value in one.get("enum").and_then(Value::as_array).into_iter().flatten() {
                choices.extend(value.as_str().map(|value| (value, None)));
            }
        }
    }
    (!choices.is_empty()).then_some(choices)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every schema within a schema.
    fn all(schema: &Value) -> Vec<&Value> {
        let children: Vec<&Value> = match schema {
            Value::Object(map) => map.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        std::iter::once(schema).chain(children.into_iter().flat_map(all)).collect()
    }

    #[test]
    fn nothing_may_be_null_and_no_table_admits_unknown_keys_by_accident() {
        let schema = schema();
        for part in all(&schema) {
            assert_ne!(part.get("default"), Some(&Value::Null), "{part}");
            assert_ne!(part.get("type"), Some(&Value::from("null")), "{part}");
            if part.get("properties").is_some_and(|p| p.get("type").is_none()) && part.get("type").is_some() {
                assert_eq!(part.get("additionalProperties"), Some(&Value::Bool(false)), "{part}");
            }
        }
    }

    #[test]
    fn every_required_key_exists_and_has_an_example() {
        let schema = schema();
        for part in all(&schema) {
            let Some(required) = part.get("required").and_then(Value::as_array) else { continue };
            for key in required {
                let property = &part["properties"][key.as_str().unwrap()];
                assert!(property["examples"].is_array(), "{key}: {property}");
            }
        }
    }
}
