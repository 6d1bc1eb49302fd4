//! The configuration reference in Markdown, made from the schema and so from the doc comments of the file types.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::Value;

use crate::{
    inline::{assignment, written},
    schema::{choices, definition, keyword, schema},
};

/// The page `docs/configuration.md`: an example, then every key with its type, default, bounds, meaning and
/// an example.
pub fn reference() -> String {
    let schema = schema();
    let mut page = Page { root: &schema, text: String::new(), values: BTreeMap::new() };
    page.text.push_str(concat!(
        "# Configuration\n\n",
        "<!-- Generated from proxy/crates/config/src/file; to renew it: WEIR_BLESS=1 cargo test -p weir-config -->\n\n",
        "Weir is configured by one [TOML](https://toml.io) file. `weir check --config FILE` tells everything that is wrong ",
        "with one, at once; `weir schema` prints its JSON schema, with which editors can complete and check it. ",
        "Unknown keys are refused. Upper-case `NAME` stands for a [name](#values) that you choose. Any table may be ",
        "written inline too: `limits = { head = \"64KiB\" }`.\n\n",
        "## Example\n\n```toml\n",
        include_str!("example.toml"),
        "```\n",
    ));
    page.section("", &schema, None);
    page.values();
    page.text
}

struct Page<'s> {
    root: &'s Value,
    text: String,
    /// Syntaxes that were mentioned, with how they are written.
    values: BTreeMap<&'s str, &'s str>,
}

/// How a key appears on the page.
enum Kind<'s> {
    /// Described where it stands.
    Value,
    /// A section of its own: `[path.key]`.
    Table(&'s Value),
    /// `[path.key.NAME]`.
    Named(&'s Value),
    /// Described where it stands, its items in a section: `[[path.key]]`.
    Tables(&'s Value),
}

impl<'s> Page<'s> {
    /// The keys of a table, then the sections below it.
    fn section(&mut self, path: &str, schema: &'s Value, described: Option<&'s str>) {
        let root = self.root;
        let properties =
            || keyword(root, schema, "properties").and_then(Value::as_object).into_iter().flatten();
        if !path.is_empty() {
            let meaning = described.or_else(|| self.text_of(schema, "description")).unwrap_or_default();
            _ = write!(self.text, "\n## `{path}`\n\n{}\n\n", one_line(meaning));
        }
        let required = keyword(self.root, schema, "required").and_then(Value::as_array);
        for (key, property) in properties() {
            if matches!(self.kind(property), Kind::Value | Kind::Tables(_)) {
                let required = required.is_some_and(|keys| keys.iter().any(|name| name == key));
                self.key(key, property, required);
            }
        }
        let inner = path.trim_matches(['[', ']']);
        for (key, property) in properties() {
            let path = if inner.is_empty() { key.clone() } else { format!("{inner}.{key}") };
            let described = property.get("description").and_then(Value::as_str);
            match self.kind(property) {
                Kind::Value => {}
                Kind::Table(table) => self.section(&format!("[{path}]"), table, described),
                Kind::Named(table) => self.section(&format!("[{path}.NAME]"), table, described),
                Kind::Tables(table) => self.section(&format!("[[{path}]]"), table, None),
            }
        }
    }

    fn key(&mut self, key: &str, schema: &'s Value, required: bool) {
        let mut facts = vec![self.kind_in_words(schema)];
        facts.extend(self.bounds(schema));
        match schema.get("default") {
            Some(default) => facts.push(format!("default `{}`", written(default))),
            None if required => facts.push("required".into()),
            None => facts.push("optional".into()),
        }
        let meaning = one_line(schema.get("description").and_then(Value::as_str).unwrap_or_default());
        _ = write!(self.text, "- **`{key}`** ({}): {meaning}", facts.join("; "));
        for (n, example) in
            keyword(self.root, schema, "examples").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let intro = if n == 0 { " Example:" } else { ", or" };
            _ = write!(self.text, "{intro} `{}`", assignment(key, example));
        }
        self.text.push('\n');
        // Of the key itself, or of the items of its array.
        let item = keyword(self.root, schema, "items").unwrap_or(schema);
        for (choice, meaning) in choices(self.root, item).into_iter().flatten() {
            _ = writeln!(self.text, "  - `\"{choice}\"`: {}", one_line(meaning.unwrap_or_default()));
        }
    }

    fn kind(&self, schema: &'s Value) -> Kind<'s> {
        let is_table = |schema| keyword(self.root, schema, "properties").is_some();
        if is_table(schema) {
            return Kind::Table(schema);
        }
        if let Some(named) =
            keyword(self.root, schema, "additionalProperties").filter(|named| is_table(named))
        {
            return Kind::Named(named);
        }
        match keyword(self.root, schema, "items").filter(|item| is_table(item)) {
            Some(item) => Kind::Tables(item),
            None => Kind::Value,
        }
    }

    fn kind_in_words(&mut self, schema: &'s Value) -> String {
        if let Some(format) = self.text_of(schema, "format") {
            let meaning = definition(self.root, schema).unwrap_or(schema).get("description");
            self.values.insert(format, meaning.and_then(Value::as_str).unwrap_or_default());
            return format!("[{}](#values)", format.replace('-', " "));
        }
        if choices(self.root, schema).is_some() {
            return "one of those below".into();
        }
        if let Some(item) = keyword(self.root, schema, "items") {
            return match self.kind(schema) {
                Kind::Tables(_) => "array of tables".into(),
                _ => format!("array of: {}", self.kind_in_words(item)),
            };
        }
        match keyword(self.root, schema, "additionalProperties").filter(|values| values.is_object()) {
            Some(values) => format!("table of: {}", self.kind_in_words(values)),
            None => match self.text_of(schema, "type") {
                Some("string") => "text".into(),
                Some("integer") => "whole number".into(),
                Some("number") => "number".into(),
                Some("boolean") => "`true` or `false`".into(),
                _ => "table".into(),
            },
        }
    }

    fn bounds(&self, schema: &'s Value) -> Option<String> {
        if let (Some(least), Some(most)) = (self.text_of(schema, "x-least"), self.text_of(schema, "x-most")) {
            return Some(format!("`\"{least}\"` to `\"{most}\"`"));
        }
        let least = schema.get("minimum").filter(|bound| bound.is_number())?;
        let most = schema.get("maximum").filter(|bound| bound.is_number())?;
        Some(format!("{} to {}", written(least), written(most)))
    }

    fn values(&mut self) {
        self.text.push_str("\n## Values\n\n");
        for (format, meaning) in &self.values {
            _ = writeln!(self.text, "- **{}**: {}", format.replace('-', " "), one_line(meaning));
        }
    }

    fn text_of(&self, schema: &'s Value, name: &str) -> Option<&'s str> {
        keyword(self.root, schema, name).and_then(Value::as_str)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
