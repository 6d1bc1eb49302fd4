//! The parsed file as a tree that knows where everything stands.
//!
//! It stands between the TOML parser and everything else because two needs meet here: places of values for
//! diagnostics, and an order of keys that is the writer's.

use std::{borrow::Cow, ops::Range};

use serde::{Serialize, Serializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    json, regular,
    report::{Problem, Report, Severity, Source},
};

/// A file without syntax errors.
pub(crate) struct Document<'t> {
    pub(crate) name: String,
    text: &'t str,
    pub(crate) root: Node<'t>,
}

/// A value and the bytes of the file it was written in.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct Node<'t> {
    pub(crate) span: Span,
    pub(crate) value: Value<'t>,
}

/// Bytes of the file, from and to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) enum Value<'t> {
    Text(Cow<'t, str>),
    Whole(i64),
    /// May be infinite or no number at all: TOML can write both.
    Real(f64),
    Flag(bool),
    /// A date, a time or both, as written.
    Moment(String),
    List(Vec<Node<'t>>),
    Table(Vec<Entry<'t>>),
}

#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct Entry<'t> {
    pub(crate) key: Cow<'t, str>,
    pub(crate) key_span: Span,
    pub(crate) node: Node<'t>,
}

/// Where something stands: the keys and positions that lead to it.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    /// From 0.
    Item(&'a Place<'a>, usize),
}

/// What a diagnostic about a place points at.
#[derive(Clone, Copy)]
pub(crate) enum Spot {
    Key,
    Value,
}

impl<'t> Document<'t> {
    /// # Errors
    /// Every syntax error that the parser could find, at most one for a line.
    pub(crate) fn parse(text: &'t str, name: &str) -> Result<Document<'t>, Report> {
        match regular::read(text) {
            Some(root) => Ok(Document { name: name.into(), text, root }),
            None => Document::parse_any(text, name),
        }
    }

    /// # Errors
    /// The first place where the text is not JSON.
    pub(crate) fn parse_json(text: &'t str, name: &str) -> Result<Document<'t>, Report> {
        match json::read(text) {
            Ok(root) => Ok(Document { name: name.into(), text, root }),
            Err(fault) => {
                Err(Report::new(name, vec![syntax_problem(text, fault.reason, fault.bytes.into())]))
            }
        }
    }

    /// Regular or not.
    pub(crate) fn parse_any(text: &'t str, name: &str) -> Result<Document<'t>, Report> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = Vec::new();
        for error in &errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let problem = syntax_problem(text, error.message(), span.into());
            if problems.iter().all(|p| p.line != problem.line) {
                problems.push(problem);
            }
        }
        let mut numbers = Vec::new();
        let root = node(table.span().into(), DeValue::Table(table.into_inner()), &mut numbers);
        problems.extend(
            numbers
                .into_iter()
                .map(|span| syntax_problem(text, "a whole number must fit in 64 bits, with sign", span)),
        );
        if problems.is_empty() {
            return Ok(Document { name: name.into(), text, root });
        }
        Err(Report::new(name, problems))
    }

    /// The file.
    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    /// Whether something is written at this place, right or wrong.
    pub(crate) fn has(&self, place: &Place<'_>) -> bool {
        self.find(place).is_some()
    }

    pub(crate) fn is_list(&self, place: &Place<'_>) -> bool {
        self.find(place).is_some_and(|found| matches!(found.node.value, Value::List(_)))
    }

    /// What is written at this place.
    pub(crate) fn node(&self, place: &Place<'_>) -> Option<&Node<'t>> {
        self.find(place).map(|found| found.node)
    }

    /// The keys of the table at this place, in the order written.
    pub(crate) fn keys(&self, place: &Place<'_>) -> Vec<&str> {
        match self.find(place).map(|found| &found.node.value) {
            Some(Value::Table(entries)) => entries.iter().map(|entry| &*entry.key).collect(),
            _ => Vec::new(),
        }
    }

    /// Line and column, both from 1, and the line itself. A place that is not written is shown by the
    /// nearest table around it that is.
    pub(crate) fn locate(&self, place: &Place<'_>, spot: Spot) -> (usize, usize, Option<Source>) {
        match (self.find(place), place.parent()) {
            (None, Some(parent)) => self.locate(parent, Spot::Key),
            (None, None) => (0, 0, None),
            (Some(Found { key: Some(span), .. }), _) if matches!(spot, Spot::Key) => at(self.text, span),
            (Some(Found { node, .. }), _) => at(self.text, node.span),
        }
    }

    fn find<'d>(&'d self, place: &Place<'_>) -> Option<Found<'d, 't>> {
        match place {
            Place::Root => (!self.text.is_empty()).then_some(Found { key: None, node: &self.root }),
            Place::Key(parent, key) => match &self.find(parent)?.node.value {
                Value::Table(entries) => {
                    let entry = entries.iter().find(|entry| entry.key == *key)?;
                    Some(Found { key: Some(entry.key_span), node: &entry.node })
                }
                _ => None,
            },
            Place::Item(parent, position) => match &self.find(parent)?.node.value {
                Value::List(items) => items.get(*position).map(|node| Found { key: None, node }),
                _ => None,
            },
        }
    }
}

impl Node<'_> {
    /// Calls `each` with every text in this value, keys left out.
    pub(crate) fn texts<'d>(&'d self, each: &mut impl FnMut(&'d str)) {
        match &self.value {
            Value::Text(text) => each(text),
            Value::List(items) => items.iter().for_each(|item| item.texts(each)),
            Value::Table(entries) => entries.iter().for_each(|entry| entry.node.texts(each)),
            _ => {}
        }
    }
}

/// As JSON: dates become text, and so do the numbers that JSON does not have.
impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Moment(text) => serializer.serialize_str(text),
            Value::Whole(number) => serializer.serialize_i64(*number),
            Value::Real(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Real(number) => serializer.collect_str(number),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::List(items) => serializer.collect_seq(items),
            Value::Table(entries) => {
                serializer.collect_map(entries.iter().map(|entry| (&entry.key, &entry.node)))
            }
        }
    }
}

struct Found<'d, 't> {
    key: Option<Span>,
    node: &'d Node<'t>,
}

impl Span {
    /// From here to the end of another.
    pub(crate) fn to(self, last: Span) -> Span {
        Span { start: self.start, end: last.end }
    }
}

impl From<Range<usize>> for Span {
    fn from(bytes: Range<usize>) -> Span {
        let place = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
        Span { start: place(bytes.start), end: place(bytes.end) }
    }
}

impl From<toml_parser::Span> for Span {
    fn from(bytes: toml_parser::Span) -> Span {
        (bytes.start()..bytes.end()).into()
    }
}

/// Whole numbers that do not fit are listed in `numbers`.
fn node<'t>(span: Span, value: DeValue<'t>, numbers: &mut Vec<Span>) -> Node<'t> {
    let value = match value {
        DeValue::String(text) => Value::Text(text),
        DeValue::Integer(number) => {
            Value::Whole(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_else(|_| {
                numbers.push(span);
                0
            }))
        }
        DeValue::Float(number) => Value::Real(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| node(item.span().into(), Spanned::into_inner(item), numbers))
                .collect(),
        ),
        DeValue::Table(entries) => Value::Table(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_span: key.span().into(),
                    key: key.into_inner(),
                    node: node(value.span().into(), value.into_inner(), numbers),
                })
                .collect(),
        ),
    };
    Node { span, value }
}

fn syntax_problem(text: &str, message: &str, span: Span) -> Problem {
    let (line, column, source) = at(text, span);
    let reason = message.to_owned();
    Problem { severity: Severity::Error, line, column, key: String::new(), reason, help: None, source }
}

fn at(text: &str, span: Span) -> (usize, usize, Option<Source>) {
    let (start, end) = (span.start as usize, span.end as usize);
    let mut start = start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    let whole_line = text[line_start..].lines().next().unwrap_or("");
    let end = end.clamp(start, line_start + whole_line.len().max(start - line_start));
    let width = text.get(start..end).map_or(1, |marked| marked.chars().count().max(1));
    (line, column, Some(Source::cut(whole_line, column, width)))
}

impl<'a> Place<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Place<'a> {
        Place::Key(self, key)
    }

    pub(crate) fn item(&'a self, position: usize) -> Place<'a> {
        Place::Item(self, position)
    }

    fn parent(&self) -> Option<&'a Place<'a>> {
        match self {
            Place::Root => None,
            Place::Key(parent, _) | Place::Item(parent, _) => Some(parent),
        }
    }
}

/// As TOML would write it: `listeners.web.chain[0]`, positions from 0.
impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bare = |key: &str| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        match self {
            Place::Root => Ok(()),
            Place::Item(parent, position) => write!(f, "{parent}[{position}]"),
            Place::Key(parent, key) => {
                if !matches!(parent, Place::Root) {
                    write!(f, "{parent}.")?;
                }
                if bare(key) { f.write_str(key) } else { write!(f, "{key:?}") }
            }
        }
    }
}
