//! Claims by path, and what they must be.

use serde::Deserialize;
use serde_json::Value;

use crate::json::Object;

/// As config writes it. With none of the three tests the claim must be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequirementConfig {
    claim: String,
    equals: Option<Value>,
    one_of: Option<Vec<Value>>,
    contains: Option<String>,
}

pub(crate) struct Requirement {
    claim: String,
    test: Test,
}

enum Test {
    Present,
    OneOf(Vec<Value>),
    /// The claim is a list with this text in it, or text with this word in it, as `scope` (RFC 8693 4.2).
    Contains(String),
}

impl Requirement {
    pub(crate) fn new(config: &RequirementConfig) -> Result<Self, String> {
        let test = match (&config.equals, &config.one_of, &config.contains) {
            (None, None, None) => Test::Present,
            (Some(value), None, None) => Test::OneOf(vec![value.clone()]),
            (None, Some(values), None) => Test::OneOf(values.clone()),
            (None, None, Some(word)) => Test::Contains(word.clone()),
            _ => {
                return Err(format!(
                    "`require`: \"{}\" has more than one of `equals`, `one_of`, `contains`",
                    config.claim
                ));
            }
        };
        Ok(Requirement { claim: config.claim.clone(), test })
    }

    pub(crate) fn is_met(&self, claims: &Object) -> bool {
        let Some(claim) = find(claims, &self.claim) else { return false };
        match &self.test {
            Test::Present => !claim.is_null(),
            Test::OneOf(values) => values.iter().any(|value| equal(value, claim)),
            Test::Contains(word) => match claim {
                Value::Array(list) => list.iter().any(|item| item.as_str() == Some(word)),
                Value::String(text) => text.split(' ').any(|part| part == word),
                _ => false,
            },
        }
    }
}

/// 1 and 1.0 are the same number; TOML and JSON write them as they like.
fn equal(expected: &Value, claim: &Value) -> bool {
    expected == claim
        || matches!((expected.as_f64(), claim.as_f64()), (Some(expected), Some(claim)) if expected == claim)
}

/// The claim of this path: `realm.roles` is `roles` in `realm`. A member whose own name has dots
/// ("https://example.com/role") is found by its whole name, which goes first.
pub(crate) fn find<'a>(claims: &'a Object, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    path.match_indices('.')
        .find_map(|(dot, _)| find(claims.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_claim_is_found_by_its_path() {
        let claims = object(json!({
            "sub": "ann",
            "realm": { "roles": ["a"], "x.y": { "z": 1 } },
            "https://example.com/role": "admin",
            "realm.sub": "dotted",
        }));
        for (path, found) in [
            ("sub", Some(json!("ann"))),
            ("realm.roles", Some(json!(["a"]))),
            ("realm.x.y.z", Some(json!(1))),
            ("https://example.com/role", Some(json!("admin"))),
            ("realm.sub", Some(json!("dotted"))),
            ("realm.none", None),
            ("sub.ann", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(find(&claims, path), found.as_ref(), "{path}");
        }
    }

    #[test]
    fn a_claim_must_be_as_required() {
        let claims = object(json!({
            "scope": "read write", "groups": ["a", "b c"], "level": 2, "admin": true, "gone": null
        }));
        for (config, met) in [
            (json!({ "claim": "level" }), true),
            (json!({ "claim": "gone" }), false),
            (json!({ "claim": "none" }), false),
            (json!({ "claim": "level", "equals": 2 }), true),
            (json!({ "claim": "level", "equals": 2.0 }), true),
            (json!({ "claim": "level", "equals": "2" }), false),
            (json!({ "claim": "admin", "equals": true }), true),
            (json!({ "claim": "level", "one_of": [1, 2] }), true),
            (json!({ "claim": "level", "one_of": [] }), false),
            (json!({ "claim": "scope", "contains": "write" }), true),
            (json!({ "claim": "scope", "contains": "writ" }), false),
            (json!({ "claim": "groups", "contains": "a" }), true),
            (json!({ "claim": "groups", "contains": "c" }), false),
            (json!({ "claim": "level", "contains": "2" }), false),
        ] {
            let requirement = Requirement::new(&serde_json::from_value(config.clone()).unwrap()).unwrap();
            assert_eq!(requirement.is_met(&claims), met, "{config}");
        }
        let two = json!({ "claim": "level", "equals": 1, "contains": "1" });
        assert!(Requirement::new(&serde_json::from_value(two).unwrap()).is_err());
    }
}
