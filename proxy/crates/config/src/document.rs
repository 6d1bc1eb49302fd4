//! The parsed file as a tree that knows where everything stands.
//!
//! It stands between the TOML parser and everything else because two needs meet here: places of values for
//! diagnostics, and an order of keys that is the writer's.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::report::{Problem, Report, Severity, Source};

/// A file without syntax errors.
pub(crate) struct Document {
    pub(crate) name: String,
    text: String,
    pub(crate) root: Node,
}

/// A value and the bytes of the file it was written in.
pub(crate) struct Node {
    span: Range<usize>,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    Text(String),
    Whole(i64),
    /// May be infinite or no number at all: TOML can write both.
    Real(f64),
    Flag(bool),
    /// A date, a time or both, as written.
    Moment(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

pub(crate) struct Entry {
    pub(crate) key: String,
    key_span: Range<usize>,
    pub(crate) node: Node,
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

impl Document {
    /// # Errors
    /// Every syntax error that the parser could find, at most one for a line.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Document, Report> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = Vec::new();
        for error in &errors {
            let problem =
                syntax_problem(text, error.message(), error.span().unwrap_or(text.len()..text.len()));
            if problems.iter().all(|p| p.line != problem.line) {
                problems.push(problem);
            }
        }
        let mut numbers = Vec::new();
        let root = node(table.span(), DeValue::Table(table.into_inner()), &mut numbers);
        problems.extend(
            numbers
                .into_iter()
                .map(|span| syntax_problem(text, "a whole number must fit in 64 bits, with sign", span)),
        );
        if problems.is_empty() {
            return Ok(Document { name: name.into(), text: text.into(), root });
        }
        Err(Report::new(name, problems))
    }

    /// Whether something is written at this place, right or wrong.
    pub(crate) fn has(&self, place: &Place<'_>) -> bool {
        self.find(place).is_some()
    }

    pub(crate) fn is_list(&self, place: &Place<'_>) -> bool {
        self.find(place).is_some_and(|found| matches!(found.node.value, Value::List(_)))
    }

    /// The keys of the table at this place, in the order written.
    pub(crate) fn keys(&self, place: &Place<'_>) -> Vec<&str> {
        match self.find(place).map(|found| &found.node.value) {
            Some(Value::Table(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// Line and column, both from 1, and the line itself. A place that is not written is shown by the
    /// nearest table around it that is.
    pub(crate) fn locate(&self, place: &Place<'_>, spot: Spot) -> (usize, usize, Option<Source>) {
        match (self.find(place), place.parent()) {
            (None, Some(parent)) => self.locate(parent, Spot::Key),
            (None, None) => (0, 0, None),
            (Some(Found { key: Some(span), .. }), _) if matches!(spot, Spot::Key) => at(&self.text, span),
            (Some(Found { node, .. }), _) => at(&self.text, &node.span),
        }
    }

    fn find(&self, place: &Place<'_>) -> Option<Found<'_>> {
        match place {
            Place::Root => (!self.text.is_empty()).then_some(Found { key: None, node: &self.root }),
            Place::Key(parent, key) => match &self.find(parent)?.node.value {
                Value::Table(entries) => {
                    let entry = entries.iter().find(|entry| entry.key == *key)?;
                    Some(Found { key: Some(&entry.key_span), node: &entry.node })
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

struct Found<'d> {
    key: Option<&'d Range<usize>>,
    node: &'d Node,
}

/// Whole numbers that do not fit are listed in `numbers`.
fn node(span: Range<usize>, value: DeValue<'_>, numbers: &mut Vec<Range<usize>>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            Value::Whole(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_else(|_| {
                numbers.push(span.clone());
                0
            }))
        }
        DeValue::Float(number) => Value::Real(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(items) => Value::List(
            items.into_iter().map(|item| node(item.span(), Spanned::into_inner(item), numbers)).collect(),
        ),
        DeValue::Table(entries) => Value::Table(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_span: key.span(),
                    key: key.into_inner().into_owned(),
                    node: node(value.span(), value.into_inner(), numbers),
                })
                .collect(),
        ),
    };
    Node { span, value }
}

fn syntax_problem(text: &str, message: &str, span: Range<usize>) -> Problem {
    let (line, column, source) = at(text, &span);
    let reason = message.to_owned();
    Problem { severity: Severity::Error, line, column, key: String::new(), reason, help: None, source }
}

fn at(text: &str, span: &Range<usize>) -> (usize, usize, Option<Source>) {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    let whole_line = text[line_start..].lines().next().unwrap_or("");
    let end = span.end.clamp(start, line_start + whole_line.len().max(start - line_start));
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
