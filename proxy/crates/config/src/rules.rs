//! What the schema demands of each value, looked up once: a thousand clusters are held against the same few rules.

use std::{collections::HashMap, ptr, rc::Rc};

use serde_json::{Map, Value as Json};

use crate::{
    document::Value,
    file::{
        AdminAddress, DnsServer, Duration, EndpointAddress, FilePath, Leaf, ListenerAddress, LogTarget,
        MemoryMark, Name, Network, PeerPattern, Rejection, ServerName, Sha256, Size, SpiffeIdText, Upgrade,
        Url, Wasm, WorkerCount, WorkloadApi,
    },
    schema::{choices, keyword},
};

/// The rules of one schema.
pub(crate) struct Rules<'a> {
    root: &'a Json,
    /// By where in memory a part of the schema is.
    known: HashMap<*const Json, Rc<Rule<'a>>>,
}

/// What one part of a schema demands.
pub(crate) enum Rule<'a> {
    /// A text with a syntax of its own.
    Leaf(LeafRule<'a>),
    /// One of these, with what they mean.
    Choice(Vec<(&'a str, Option<&'a str>)>),
    Table(TableRule<'a>),
    List {
        item: &'a Json,
        least: usize,
    },
    /// A plain JSON type.
    Plain(&'a str),
    Anything,
}

/// Bounds are with how they are written.
pub(crate) struct LeafRule<'a> {
    pub(crate) check: Check,
    pub(crate) least: Option<(u128, &'a str)>,
    pub(crate) most: Option<(u128, &'a str)>,
}

pub(crate) struct TableRule<'a> {
    pub(crate) properties: Option<&'a Map<String, Json>>,
    pub(crate) others: Option<&'a Json>,
    /// Other keys are names that operators choose.
    pub(crate) names: bool,
    pub(crate) required: Vec<&'a str>,
}

impl<'a> Rules<'a> {
    pub(crate) fn of(root: &'a Json) -> Self {
        Self { root, known: HashMap::new() }
    }

    pub(crate) fn of_schema(&mut self, schema: &'a Json) -> Rc<Rule<'a>> {
        if let Some(known) = self.known.get(&ptr::from_ref(schema)) {
            return Rc::clone(known);
        }
        let rule = Rc::new(self.look_up(schema));
        self.known.insert(schema, Rc::clone(&rule));
        rule
    }

    /// A keyword of a schema; when it is not there, of the definition that the schema refers to.
    pub(crate) fn keyword(&self, schema: &'a Json, name: &str) -> Option<&'a Json> {
        keyword(self.root, schema, name)
    }

    fn look_up(&self, schema: &'a Json) -> Rule<'a> {
        let keyword = |name| self.keyword(schema, name);
        let text = |name| keyword(name).and_then(Json::as_str);
        let leaf = text("format").and_then(|name| LEAVES.iter().find(|(format, _)| *format == name));
        if let Some(&(_, check)) = leaf {
            let bound = |name| {
                let text = text(name)?;
                Some((check(&Value::Text(text.into())).ok()?, text))
            };
            return Rule::Leaf(LeafRule { check, least: bound("x-least"), most: bound("x-most") });
        }
        if let Some(choices) = choices(self.root, schema) {
            return Rule::Choice(choices);
        }
        match text("type") {
            None => Rule::Anything,
            Some("object") => {
                let required = keyword("required").and_then(Json::as_array).into_iter().flatten();
                Rule::Table(TableRule {
                    properties: keyword("properties").and_then(Json::as_object),
                    others: keyword("additionalProperties").filter(|others| **others != false),
                    names: keyword("propertyNames").is_some(),
                    required: required.filter_map(Json::as_str).collect(),
                })
            }
            Some("array") => Rule::List {
                item: keyword("items").unwrap_or(&Json::Bool(true)),
                least: keyword("minItems").and_then(Json::as_u64).unwrap_or(0) as usize,
            },
            Some(plain) => Rule::Plain(plain),
        }
    }
}

/// How large the value is that was read, or why it cannot be used.
pub(crate) type Check = fn(&Value<'_>) -> Result<u128, Rejection>;

/// The syntaxes behind the schema's formats.
const LEAVES: [(&str, Check); 20] = [
    (AdminAddress::FORMAT, check::<AdminAddress>),
    (DnsServer::FORMAT, check::<DnsServer>),
    (Duration::FORMAT, check::<Duration>),
    (EndpointAddress::FORMAT, check::<EndpointAddress>),
    (FilePath::FORMAT, check::<FilePath>),
    (ListenerAddress::FORMAT, check::<ListenerAddress>),
    (LogTarget::FORMAT, check::<LogTarget>),
    (MemoryMark::FORMAT, check::<MemoryMark>),
    (Name::FORMAT, check::<Name>),
    (Network::FORMAT, check::<Network>),
    (PeerPattern::FORMAT, check::<PeerPattern>),
    (ServerName::FORMAT, check::<ServerName>),
    (Sha256::FORMAT, check::<Sha256>),
    (Size::FORMAT, check::<Size>),
    (SpiffeIdText::FORMAT, check::<SpiffeIdText>),
    (Upgrade::FORMAT, check::<Upgrade>),
    (Url::FORMAT, check::<Url>),
    (Wasm::FORMAT, check::<Wasm>),
    (WorkerCount::FORMAT, check::<WorkerCount>),
    (WorkloadApi::FORMAT, check::<WorkloadApi>),
];

fn check<T: Leaf>(value: &Value<'_>) -> Result<u128, Rejection> {
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

/// In words.
pub(crate) fn kind(value: &Value<'_>) -> &'static str {
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
    use crate::schema::schema;

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
