//! The page and the schema that are made from the file types.

mod blessed;

use std::path::Path;

use serde_json::Value;

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/configuration.md");
    blessed::compare(&path, &weir_config::reference());
}

#[test]
fn every_key_says_what_it_means_and_how_it_is_written() {
    let schema = weir_config::schema();
    let mut tables = vec![("", &schema)];
    tables.extend(schema["$defs"].as_object().unwrap().iter().map(|(name, table)| (name.as_str(), table)));
    let mut seen = 0;
    for (table, schema) in tables {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { continue };
        for (key, property) in properties {
            let target = property.get("$ref").and_then(Value::as_str).and_then(schema_at);
            let inner = property.get("additionalProperties").and_then(|inner| inner.get("$ref"));
            let is_table = |schema: &Value| schema.get("properties").is_some();
            if target.as_ref().is_some_and(is_table) || inner.is_some() {
                continue; // Its own keys are looked at.
            }
            seen += 1;
            assert!(property["description"].is_string(), "{table}.{key} has no description");
            let shown = property.get("default").or_else(|| property.get("examples"));
            assert!(shown.is_some(), "{table}.{key} has neither default nor example");
        }
    }
    assert!(seen > 50, "only {seen} keys were found");
}

fn schema_at(reference: &str) -> Option<Value> {
    weir_config::schema().pointer(reference.strip_prefix('#')?).cloned()
}
