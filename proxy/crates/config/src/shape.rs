//! The document against the schema: unknown keys, missing keys, wrong types, values that cannot be read.
//!
//! It goes through the whole tree, reports what does not fit and leaves it out, so that serde afterwards reads
//! only what is right and the checks that follow see as much of the configuration as possible.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value as Json};

use crate::{
    document::{Document, Entry, Node, Place, Value},
    file::{Leaf, Name},
    findings::Findings,
    inline, nearest,
    rules::{LeafRule, Rule, Rules, TableRule, kind},
    schema::schema_of,
};

/// The file types with everything in them that fits the schema. None only if not even that can be read, which
/// has been reported then.
pub(crate) fn read<F: JsonSchema + DeserializeOwned>(
    document: &Document<'_>,
    findings: &mut Findings<'_>,
) -> Option<F> {
    let schema = schema_of::<F>();
    let mut shape = Shape { rules: Rules::of(&schema), findings };
    let json = shape.value(&schema, &document.root, &Place::Root)?;
    match serde_json::from_value(json) {
        Ok(file) => Some(file),
        Err(error) => {
            findings.key(&Place::Root, format!("it cannot be read: {error}"), "");
            None
        }
    }
}

struct Shape<'a, 'd, 'f> {
    rules: Rules<'a>,
    findings: &'f mut Findings<'d>,
}

impl<'a> Shape<'a, '_, '_> {
    /// None: it does not fit, and that has been reported.
    fn value(&mut self, schema: &'a Json, node: &Node<'_>, at: &Place<'_>) -> Option<Json> {
        let rule = self.rules.of_schema(schema);
        let expected = match (&*rule, &node.value) {
            (Rule::Leaf(leaf), _) => return self.leaf(schema, leaf, node, at),
            (Rule::Choice(choices), _) => return self.choice(schema, choices, node, at),
            (Rule::Anything, _) => return self.anything(node, at),
            (Rule::Table(table), Value::Table(entries)) => return self.table(table, entries, at),
            (Rule::List { item, least }, Value::List(items)) => {
                if items.len() >= *least {
                    return self.list(item, items, at);
                }
                let help = self.example(schema, at);
                self.findings.value(at, "there must be at least one", help);
                return None;
            }
            (Rule::Plain("string"), Value::Text(_)) | (Rule::Plain("boolean"), Value::Flag(_)) => {
                return self.anything(node, at);
            }
            (Rule::Plain("integer" | "number"), Value::Whole(_))
            | (Rule::Plain("number"), Value::Real(_)) => {
                let number = self.anything(node, at)?;
                return self.within(schema, &number, at).then_some(number);
            }
            (Rule::Table(_), _) => "a table",
            (Rule::List { .. }, _) => "an array",
            (Rule::Plain("string"), _) => "a text",
            (Rule::Plain("boolean"), _) => "`true` or `false`",
            (Rule::Plain("integer"), _) => "a whole number",
            (Rule::Plain(_), _) => "a number",
        };
        let help = self.example(schema, at);
        self.findings.value(at, format!("expected {expected}, found {}", kind(&node.value)), help);
        None
    }

    fn table(&mut self, rule: &TableRule<'a>, entries: &[Entry<'_>], at: &Place<'_>) -> Option<Json> {
        let (properties, others) = (rule.properties, rule.others);
        if others.is_some_and(|others| *others == true) {
            return self.verbatim(entries, at);
        }
        let mut table = Map::new();
        for Entry { key, node, .. } in entries {
            let at = at.key(key);
            let value = match (properties.and_then(|known| known.get(&**key)), others) {
                (Some(property), _) => self.value(property, node, &at),
                (None, Some(others)) => {
                    if rule.names
                        && let Err(rejection) = Name::parse(key)
                    {
                        self.findings.key(&at, rejection.reason, rejection.help);
                    }
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
                table.insert(key.as_ref().to_owned(), value);
            }
        }
        for key in rule.required.iter().filter(|key| entries.iter().all(|entry| entry.key != **key)) {
            let help = properties.map(|known| self.example(&known[*key], &at.key(key))).unwrap_or_default();
            self.findings.key(at, format!("the key `{key}` is missing"), help);
        }
        Some(Json::Object(table))
    }

    /// A table that is a filter's own. Whoever needs it takes it from the document, where it is already: copied
    /// here with all that is in it, it would cost more than all the rest.
    fn verbatim(&mut self, entries: &[Entry<'_>], at: &Place<'_>) -> Option<Json> {
        entries.iter().for_each(|entry| self.finite(&entry.node, &at.key(&entry.key)));
        Some(Json::Object(Map::new()))
    }

    /// JSON has neither infinities nor NaN.
    fn finite(&mut self, node: &Node<'_>, at: &Place<'_>) {
        match &node.value {
            Value::Real(number) if !number.is_finite() => {
                self.findings.value(at, "expected a finite number", "");
            }
            Value::List(items) => {
                items.iter().enumerate().for_each(|(i, item)| self.finite(item, &at.item(i)));
            }
            Value::Table(entries) => {
                entries.iter().for_each(|entry| self.finite(&entry.node, &at.key(&entry.key)));
            }
            _ => {}
        }
    }

    /// Items that do not fit become null, so that the others keep their positions.
    fn list(&mut self, item: &'a Json, items: &[Node<'_>], at: &Place<'_>) -> Option<Json> {
        let read = |(position, node)| self.value(item, node, &at.item(position)).unwrap_or(Json::Null);
        Some(Json::Array(items.iter().enumerate().map(read).collect()))
    }

    fn leaf(
        &mut self,
        schema: &'a Json,
        leaf: &LeafRule<'_>,
        node: &Node<'_>,
        at: &Place<'_>,
    ) -> Option<Json> {
        let magnitude = match (leaf.check)(&node.value) {
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
        let LeafRule { least, most, .. } = *leaf;
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
        node: &Node<'_>,
        at: &Place<'_>,
    ) -> Option<Json> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let possible = format!("possible: {}", nearest::quoted(&names));
        let Value::Text(text) = &node.value else {
            self.findings.value(at, format!("expected a text, found {}", kind(&node.value)), possible);
            return None;
        };
        if names.contains(&&**text) {
            return Some(Json::String(text.as_ref().to_owned()));
        }
        let later = self.rules.keyword(schema, "x-later").and_then(Json::as_array);
        if later.is_some_and(|later| later.iter().any(|name| *name == **text)) {
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
        let bound = |name| self.rules.keyword(schema, name).filter(|bound| bound.is_number());
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
    fn anything(&mut self, node: &Node<'_>, at: &Place<'_>) -> Option<Json> {
        match &node.value {
            Value::Text(text) => Some(Json::String(text.as_ref().to_owned())),
            Value::Moment(text) => Some(Json::String(text.clone())),
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
                        Some((
                            entry.key.as_ref().to_owned(),
                            self.anything(&entry.node, &at.key(&entry.key))?,
                        ))
                    })
                    .collect(),
            )),
        }
    }

    /// A help text that shows how the key could be written.
    fn example(&self, schema: &'a Json, at: &Place<'_>) -> String {
        let example = self.rules.keyword(schema, "examples").and_then(|examples| examples.get(0));
        match (at, example.or_else(|| self.rules.keyword(schema, "default"))) {
            (Place::Key(_, key), Some(value)) => format!("for example: {}", inline::assignment(key, value)),
            _ => String::new(),
        }
    }
}
