//! The document against the schema: unknown keys, missing keys, wrong types, values that cannot be read.
//!
//! It goes through the whole tree, reports what does not fit and leaves it out, so that serde afterwards reads
//! only what is right and the checks that follow see as much of the configuration as possible.

use serde_json::{Map, Number, Value as Json};

use crate::{
    document::{Document, Entry, Node, Place, Value},
    file::{
        AdminAddress, Duration, EndpointAddress, File, FilePath, Leaf, ListenerAddress, LogTarget, Name,
        Rejection, ServerName, Sha256, Size, Url, Wasm, WorkerCount,
    },
    findings::Findings,
    inline, nearest,
    schema::{choices, keyword, schema},
};

/// The file types with everything in them that fits the schema. None only if not even that can be read, which
/// has been reported then.
pub(crate) fn read(document: &Document, findings: &mut Findings<'_>) -> Option<File> {
    let schema = schema();
    let mut shape = Shape { root: &schema, findings };
    let json = shape.value(&schema, &document.root, &Place::Root)?;
    match serde_json::from_value(json) {
        Ok(file) => Some(file),
        Err(error) => {
            findings.key(&Place::Root, format!("the configuration cannot be read: {error}"), "");
            None
        }
    }
}

struct Shape<'a, 'd> {
    root: &'a Json,
    findings: &'a mut Findings<'d>,
}

impl<'a> Shape<'a, '_> {
    /// None: it does not fit, and that has been reported.
    fn value(&mut self, schema: &'a Json, node: &Node, at: &Place<'_>) -> Option<Json> {
        if let Some((_, leaf)) =
            self.text(schema, "format").and_then(|name| LEAVES.iter().find(|(format, _)| *format == name))
        {
            return self.leaf(schema, *leaf, node, at);
        }
        if let Some(choices) = choices(self.root, schema) {
            return self.choice(schema, &choices, node, at);
        }
        match (self.text(schema, "type"), &node.value) {
            (None, _) => self.anything(node, at),
            (Some("object"), Value::Table(entries)) => self.table(schema, entries, at),
            (Some("array"), Value::List(items)) => self.list(schema, items, at),
            (Some("string"), Value::Text(_)) | (Some("boolean"), Value::Flag(_)) => self.anything(node, at),
            (Some("integer" | "number"), Value::Whole(_)) | (Some("number"), Value::Real(_)) => {
                let number = self.anything(node, at)?;
                self.within(schema, &number, at).then_some(number)
            }
            (Some(expected), found) => {
                let expected = match expected {
                    "object" => "a table",
                    "array" => "an array",
                    "string" => "a text",
                    "boolean" => "`true` or `false`",
                    "integer" => "a whole number",
                    _ => "a number",
                };
                let help = self.example(schema, at);
                self.findings.value(at, format!("expected {expected}, found {}", kind(found)), help);
                None
            }
        }
    }

    fn table(&mut self, schema: &'a Json, entries: &[Entry], at: &Place<'_>) -> Option<Json> {
        let properties = keyword(self.root, schema, "properties").and_then(Json::as_object);
        let others = keyword(self.root, schema, "additionalProperties").filter(|others| **others != false);
        let mut table = Map::new();
        for Entry { key, node, .. } in entries {
            let at = at.key(key);
            let value = match (properties.and_then(|known| known.get(key)), others) {
                (Some(property), _) => self.value(property, node, &at),
                (None, Some(others)) => {
                    self.name(schema, key, &at);
                    self.value(others, node, &at)
                }
                (None, None) => {
                    let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                    let help = nearest::help(key, known, "this table has no keys");
                    self.findings.key(&at, format!("unknown key `{}`", key.escape_debug()), help);
                    None
                }
            };
            if let Some(value) = value {
                table.insert(key.clone(), value);
            }
        }
        for required in keyword(self.root, schema, "required").and_then(Json::as_array).into_iter().flatten()
        {
            let Some(key) = required.as_str().filter(|key| entries.iter().all(|entry| entry.key != *key))
            else {
                continue;
            };
            let help = properties.map(|known| self.example(&known[key], &at.key(key))).unwrap_or_default();
            self.findings.key(at, format!("the key `{key}` is missing"), help);
        }
        Some(Json::Object(table))
    }

    /// Checks a key that operators choose.
    fn name(&mut self, schema: &'a Json, key: &str, at: &Place<'_>) {
        if keyword(self.root, schema, "propertyNames").is_some()
            && let Err(rejection) = Name::parse(key)
        {
            self.findings.key(at, rejection.reason, rejection.help);
        }
    }

    /// Items that do not fit become null, so that the others keep their positions.
    fn list(&mut self, schema: &'a Json, items: &[Node], at: &Place<'_>) -> Option<Json> {
        let least = keyword(self.root, schema, "minItems").and_then(Json::as_u64).unwrap_or(0);
        if (items.len() as u64) < least {
            let help = self.example(schema, at);
            self.findings.value(at, "there must be at least one", help);
            return None;
        }
        let item = keyword(self.root, schema, "items").unwrap_or(&Json::Bool(true));
        let read = |(position, node)| self.value(item, node, &at.item(position)).unwrap_or(Json::Null);
        Some(Json::Array(items.iter().enumerate().map(read).collect()))
    }

    fn leaf(&mut self, schema: &'a Json, leaf: Check, node: &Node, at: &Place<'_>) -> Option<Json> {
        let magnitude = match leaf(&node.value) {
            Ok(magnitude) => magnitude,
            Err(rejection) => {
                let help = match rejection.help.as_str() {
                    "" => self.example(schema, at),
                    help => help.to_owned(),
                };
                self.findings.value(at, rejection.reason, help);
                return None;
            }
        };
        let bound = |name: &str| {
            let text = self.text(schema, name)?;
            Some((leaf(&Value::Text(text.into())).ok()?, text))
        };
        let (least, most) = (bound("x-least"), bound("x-most"));
        let within = least.is_none_or(|(bound, _)| magnitude >= bound)
            && most.is_none_or(|(bound, _)| magnitude <= bound);
        if let (false, Some((_, least)), Some((_, most))) = (within, least, most) {
            let written = self.anything(node, at).map(|value| inline::written(&value)).unwrap_or_default();
            self.findings.value(
                at,
                format!("{written} is out of bounds"),
                format!("from \"{least}\" to \"{most}\""),
            );
            return None;
        }
        self.anything(node, at)
    }

    fn choice(
        &mut self,
        schema: &'a Json,
        choices: &[(&str, Option<&str>)],
        node: &Node,
        at: &Place<'_>,
    ) -> Option<Json> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let possible = format!("possible: {}", nearest::quoted(&names));
        let Value::Text(text) = &node.value else {
            self.findings.value(at, format!("expected a text, found {}", kind(&node.value)), possible);
            return None;
        };
        if names.contains(&text.as_str()) {
            return Some(Json::String(text.clone()));
        }
        let later = keyword(self.root, schema, "x-later").and_then(Json::as_array);
        if later.is_some_and(|later| later.iter().any(|name| name == text)) {
            let reason = format!("`{text}` comes with a later version");
            self.findings.value(at, reason, possible);
            return None;
        }
        let help = match nearest::help(text, names.iter().copied(), "") {
            near if near.starts_with("did") => format!("{near} {possible}"),
            _ => possible,
        };
        self.findings.value(at, format!("unknown value `{}`", text.escape_debug()), help);
        None
    }

    /// Whether a number is within the schema's bounds.
    fn within(&mut self, schema: &'a Json, number: &Json, at: &Place<'_>) -> bool {
        let bound = |name| keyword(self.root, schema, name).filter(|bound| bound.is_number());
        let (least, most) = (bound("minimum"), bound("maximum"));
        let value = number.as_f64().unwrap_or(f64::NAN);
        let above = least.and_then(Json::as_f64).is_none_or(|least| value >= least);
        let below = most.and_then(Json::as_f64).is_none_or(|most| value <= most);
        if above && below {
            return true;
        }
        let range = match (least, most) {
            (Some(least), Some(most)) => {
                format!("from {} to {}", inline::written(least), inline::written(most))
            }
            _ => String::new(),
        };
        self.findings.value(at, format!("{number} is out of bounds"), range);
        false
    }

    /// As JSON, whatever it is. Dates become text.
    fn anything(&mut self, node: &Node, at: &Place<'_>) -> Option<Json> {
        match &node.value {
            Value::Text(text) | Value::Moment(text) => Some(Json::String(text.clone())),
            Value::Whole(number) => Some(Json::from(*number)),
            Value::Flag(flag) => Some(Json::Bool(*flag)),
            Value::Real(number) => match Number::from_f64(*number) {
                Some(number) => Some(Json::Number(number)),
                None => {
                    self.findings.value(at, "expected a finite number", "");
                    None
                }
            },
            Value::List(items) => Some(Json::Array(
                items.iter().enumerate().filter_map(|(i, item)| self.anything(item, &at.item(i))).collect(),
            )),
            Value::Table(entries) => Some(Json::Object(
                entries
                    .iter()
                    .filter_map(|entry| {
                        Some((entry.key.clone(), self.anything(&entry.node, &at.key(&entry.key))?))
                    })
                    .collect(),
            )),
        }
    }

    fn text(&self, schema: &'a Json, name: &str) -> Option<&'a str> {
        keyword(self.root, schema, name).and_then(Json::as_str)
    }

    /// A help text that shows how the key could be written.
    fn example(&self, schema: &'a Json, at: &Place<'_>) -> String {
        let example = keyword(self.root, schema, "examples").and_then(|examples| examples.get(0));
        match (at, example.or_else(|| keyword(self.root, schema, "default"))) {
            (Place::Key(_, key), Some(value)) => format!("for example: {}", inline::assignment(key, value)),
            _ => String::new(),
        }
    }
}

type Check = fn(&Value) -> Result<u128, Rejection>;

/// The syntaxes behind the schema's formats.
const LEAVES: [(&str, Check); 13] = [
    (AdminAddress::FORMAT, check::<AdminAddress>),
    (Duration::FORMAT, check::<Duration>),
    (EndpointAddress::FORMAT, check::<EndpointAddress>),
    (FilePath::FORMAT, check::<FilePath>),
    (ListenerAddress::FORMAT, check::<ListenerAddress>),
    (LogTarget::FORMAT, check::<LogTarget>),
    (Name::FORMAT, check::<Name>),
    (ServerName::FORMAT, check::<ServerName>),
    (Sha256::FORMAT, check::<Sha256>),
    (Size::FORMAT, check::<Size>),
    (Url::FORMAT, check::<Url>),
    (Wasm::FORMAT, check::<Wasm>),
    (WorkerCount::FORMAT, check::<WorkerCount>),
];

fn check<T: Leaf>(value: &Value) -> Result<u128, Rejection> {
    let leaf = match value {
        Value::Text(text) => T::parse(text),
        Value::Whole(number) => T::from_number(*number),
        other => {
            let name = T::FORMAT.replace('-', " ");
            let article = if name.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
            Err(Rejection::new(format!("expected {article} {name}, found {}", kind(other)), ""))
        }
    };
    leaf.map(|leaf| leaf.magnitude())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "a text",
        Value::Whole(_) => "a whole number",
        Value::Real(_) => "a number",
        Value::Flag(true) => "`true`",
        Value::Flag(false) => "`false`",
        Value::Moment(_) => "a date or time",
        Value::List(_) => "an array",
        Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A format without a check would let anything pass until serde refuses it without a place.
    #[test]
    fn every_format_of_the_schema_is_checked() {
        let schema = schema();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let Some(format) = definition.get("format").and_then(Json::as_str) else { continue };
            assert!(LEAVES.iter().any(|(leaf, _)| *leaf == format), "{name}: {format}");
        }
    }
}
