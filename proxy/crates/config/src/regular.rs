//! The tree of a regular file, straight from the events of the TOML parser.
//!
//! It stands beside the way through `toml`'s own tree ([`Document::parse`](crate::document::Document::parse)) because
//! a reload waits for it: of ten thousand routes that tree is two thirds of all that reading costs. What is not
//! regular - an error, a table that is opened again - is left to the other way, which knows what to say of it; so
//! all that matters here is never to take for regular what is not.

use std::{borrow::Cow, collections::HashMap, mem};

use foldhash::fast::RandomState;
use toml::value::Datetime;
use toml_parser::{
    ErrorSink, ParseError, Raw, Source,
    decoder::{Encoding, ScalarKind},
    parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document},
};

use crate::document::{Entry, Node, Span, Value};

/// As deep as `toml` goes.
const DEPTH: u32 = 80;
/// Bytes of a short token, with what surrounds it.
const TOKEN_BYTES: usize = 4;
/// Keys of one table that are compared one by one.
const FEW: usize = 32;

/// None: it is not regular.
pub(crate) fn read(text: &str) -> Option<Node<'_>> {
    let source = Source::new(text);
    // Room that is not written to costs nothing, and to grow into it would be to copy all of it.
    let mut tokens = Vec::with_capacity(text.len() / TOKEN_BYTES);
    tokens.extend(source.lex());
    let mut builder = Builder::new(source);
    let mut error: Option<ParseError> = None;
    let mut checked = ValidateWhitespace::new(&mut builder, source);
    parse_document(&tokens, &mut RecursionGuard::new(&mut checked, DEPTH), &mut error);
    builder.close_section();
    (error.is_none() && !builder.irregular && builder.open.is_empty())
        .then(|| Node { span: Span::default(), value: Value::Table(builder.root) })
}

struct Builder<'t> {
    source: Source<'t>,
    root: Vec<Entry<'t>>,
    /// What headers have opened: by the table it is in, and its key there.
    opened: HashMap<(TableId, Cow<'t, str>), Opened, RandomState>,
    /// By [`TableId`]: how many entries a table has that were written under its own header. They come first.
    own: Vec<usize>,
    /// Positions of entries, from the root to the table whose header came last.
    path: Vec<usize>,
    /// That table.
    section: TableId,
    /// What was written under that header so far.
    entries: Vec<Entry<'t>>,
    header: Option<Header<'t>>,
    /// Dotted keys of an entry whose value comes next.
    keys: Vec<Key<'t>>,
    /// Inline tables and arrays around the next value.
    open: Vec<Open<'t>>,
    irregular: bool,
}

type TableId = usize;
type Key<'t> = (Cow<'t, str>, Span);

#[derive(Clone, Copy)]
struct Opened {
    /// Of a table; of an array of tables, the last one's.
    table: TableId,
    /// Among its parent's entries.
    position: usize,
    is_array: bool,
}

struct Header<'t> {
    is_array: bool,
    start: Span,
    keys: Vec<Key<'t>>,
}

enum Open<'t> {
    Table { start: Span, entries: Vec<Entry<'t>>, keys: Vec<Key<'t>> },
    List { start: Span, items: Vec<Node<'t>> },
}

impl<'t> Builder<'t> {
    fn new(source: Source<'t>) -> Self {
        Self {
            source,
            root: Vec::new(),
            opened: HashMap::default(),
            own: vec![0],
            path: Vec::new(),
            section: 0,
            entries: Vec::new(),
            header: None,
            keys: Vec::new(),
            open: Vec::new(),
            irregular: false,
        }
    }

    /// Puts what was written under a header where it belongs.
    fn close_section(&mut self) {
        let entries = mem::take(&mut self.entries);
        self.irregular |= has_twins(&entries);
        self.own[self.section] = entries.len();
        match table_at(&mut self.root, &self.path) {
            // Just opened, so there is nothing in it yet.
            Some(table) => *table = entries,
            None => self.irregular = true,
        }
    }

    /// None: that cannot be opened, or not here.
    fn open_section(&mut self, header: &Header<'t>, span: Span) -> Option<()> {
        let (last, parents) = header.keys.split_last()?;
        self.path.clear();
        let mut table = 0;
        for key in parents {
            table = match self.find(table, key)? {
                Some(opened) => {
                    self.path.push(opened.position);
                    opened.table
                }
                None => self.open_table(table, key, false, key.1)?,
            };
        }
        self.section = match (self.find(table, last)?, header.is_array) {
            (None, is_array) => self.open_table(table, last, is_array, span)?,
            (Some(Opened { position, is_array: true, .. }), true) => {
                let entry = table_at(&mut self.root, &self.path)?.get_mut(position)?;
                let Value::List(items) = &mut entry.node.value else { return None };
                items.push(Node { span, value: Value::Table(Vec::new()) });
                self.path.push(position);
                let next = self.next_table();
                self.opened.insert((table, last.0.clone()), Opened { table: next, position, is_array: true });
                next
            }
            // Opened again.
            (Some(_), _) => return None,
        };
        Some(())
    }

    /// What a header opened under this key. The outer None: an entry of another kind has it.
    fn find(&mut self, table: TableId, key: &Key<'t>) -> Option<Option<Opened>> {
        if let Some(opened) = self.opened.get(&(table, key.0.clone())) {
            return Some(Some(*opened));
        }
        let own = table_at(&mut self.root, &self.path)?.get(..self.own[table])?;
        let free = own.len() <= FEW && own.iter().all(|entry| entry.key != key.0);
        free.then_some(None)
    }

    /// At the end of the path, which then leads to it.
    fn open_table(&mut self, parent: TableId, key: &Key<'t>, is_array: bool, span: Span) -> Option<TableId> {
        let table = self.next_table();
        let mut node = Node { span, value: Value::Table(Vec::new()) };
        if is_array {
            node = Node { span, value: Value::List(vec![node]) };
        }
        let entries = table_at(&mut self.root, &self.path)?;
        let position = entries.len();
        entries.push(Entry { key: key.0.clone(), key_span: key.1, node });
        self.path.push(position);
        self.opened.insert((parent, key.0.clone()), Opened { table, position, is_array });
        Some(table)
    }

    fn next_table(&mut self) -> TableId {
        self.own.push(0);
        self.own.len() - 1
    }

    /// A value is complete: it goes into what is open, or under its key.
    fn place(&mut self, node: Node<'t>) {
        if self.irregular {
            return;
        }
        let (entries, keys) = match self.open.last_mut() {
            Some(Open::List { items, .. }) => return items.push(node),
            Some(Open::Table { entries, keys, .. }) => (entries, keys),
            None => (&mut self.entries, &mut self.keys),
        };
        self.irregular |= insert(entries, keys, node).is_none();
        keys.clear();
    }
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.close_section();
        self.header = Some(Header { is_array: false, start: span.into(), keys: Vec::new() });
    }

    fn std_table_close(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        if let Some(header) = self.header.take() {
            self.irregular |= self.open_section(&header, header.start.to(span.into())).is_none();
        }
    }

    fn array_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.close_section();
        self.header = Some(Header { is_array: true, start: span.into(), keys: Vec::new() });
    }

    fn array_table_close(&mut self, span: toml_parser::Span, error: &mut dyn ErrorSink) {
        self.std_table_close(span, error);
    }

    fn inline_table_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Table { start: span.into(), entries: Vec::new(), keys: Vec::new() });
        true
    }

    fn inline_table_close(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        let Some(Open::Table { start, entries, .. }) = self.open.pop() else {
            self.irregular = true;
            return;
        };
        self.irregular |= has_twins(&entries);
        self.place(Node { span: start.to(span.into()), value: Value::Table(entries) });
    }

    fn array_open(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::List { start: span.into(), items: Vec::new() });
        true
    }

    fn array_close(&mut self, span: toml_parser::Span, _: &mut dyn ErrorSink) {
        match self.open.pop() {
            Some(Open::List { start, items }) => {
                self.place(Node { span: start.to(span.into()), value: Value::List(items) });
            }
            _ => self.irregular = true,
        }
    }

    fn simple_key(&mut self, span: toml_parser::Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = raw(self.source, span, kind) else {
            self.irregular = true;
            return;
        };
        if self.irregular {
            return;
        }
        let mut key = Cow::Borrowed("");
        raw.decode_key(&mut key, error);
        let keys = match (&mut self.header, self.open.last_mut()) {
            (Some(header), _) => &mut header.keys,
            (None, Some(Open::Table { keys, .. })) => keys,
            (None, _) => &mut self.keys,
        };
        keys.push((key, span.into()));
        self.irregular |= keys.len() > DEPTH as usize;
    }

    fn scalar(&mut self, span: toml_parser::Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        match raw(self.source, span, kind).and_then(|raw| scalar(&raw, error)) {
            Some(value) => self.place(Node { span: span.into(), value }),
            None => self.irregular = true,
        }
    }

    fn error(&mut self, _: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.irregular = true;
    }
}

fn raw<'t>(source: Source<'t>, span: toml_parser::Span, kind: Option<Encoding>) -> Option<Raw<'t>> {
    Some(Raw::new_unchecked(source.input().get(span.start()..span.end())?, kind, span))
}

/// None: it is out of bounds.
fn scalar<'t>(raw: &Raw<'t>, error: &mut dyn ErrorSink) -> Option<Value<'t>> {
    let mut text = Cow::Borrowed("");
    Some(match raw.decode_scalar(&mut text, error) {
        ScalarKind::String => Value::Text(text),
        ScalarKind::Boolean(flag) => Value::Flag(flag),
        ScalarKind::DateTime => Value::Moment(text.parse::<Datetime>().ok()?.to_string()),
        ScalarKind::Float => Value::Real(text.parse().ok()?),
        ScalarKind::Integer(radix) => Value::Whole(i64::from_str_radix(&text, radix.value()).ok()?),
    })
}

/// The table that positions lead to; of an array of tables, the last one.
fn table_at<'a, 't>(root: &'a mut Vec<Entry<'t>>, path: &[usize]) -> Option<&'a mut Vec<Entry<'t>>> {
    let mut entries = root;
    for position in path {
        let mut value = &mut entries.get_mut(*position)?.node.value;
        if let Value::List(items) = value {
            value = &mut items.last_mut()?.value;
        }
        let Value::Table(inner) = value else { return None };
        entries = inner;
    }
    Some(entries)
}

/// Puts a value under a key that may be dotted. None: the way leads through something that is closed.
fn insert<'t>(mut entries: &mut Vec<Entry<'t>>, keys: &mut Vec<Key<'t>>, node: Node<'t>) -> Option<()> {
    let (last, last_span) = keys.pop()?;
    for (key, span) in keys.drain(..) {
        // What goes into one table usually stands together. What comes later makes a twin, and that is noticed.
        if entries.last().is_none_or(|entry| entry.key != key) {
            entries.push(Entry { key, key_span: span, node: Node { span, value: Value::Table(Vec::new()) } });
        }
        entries = entries.last_mut().and_then(dotted)?;
    }
    entries.push(Entry { key: last, key_span: last_span, node });
    Some(())
}

/// The inside of a table that dotted keys made: it is where its key is. An inline table is not.
fn dotted<'a, 't>(entry: &'a mut Entry<'t>) -> Option<&'a mut Vec<Entry<'t>>> {
    match &mut entry.node.value {
        Value::Table(entries) if entry.node.span == entry.key_span => Some(entries),
        _ => None,
    }
}

/// Two entries have the same key, here or in a table that dotted keys made.
fn has_twins(entries: &[Entry<'_>]) -> bool {
    let within = entries.iter().any(|entry| match &entry.node.value {
        Value::Table(inner) => entry.node.span == entry.key_span && has_twins(inner),
        _ => false,
    });
    if entries.len() <= FEW {
        return within
            || entries.iter().enumerate().any(|(i, one)| entries[..i].iter().any(|two| one.key == two.key));
    }
    let mut keys: Vec<&str> = entries.iter().map(|entry| &*entry.key).collect();
    keys.sort_unstable();
    within || keys.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
#[path = "regular_tests.rs"]
mod tests;
