//! JSON as a tree that knows where everything stands, the same that TOML becomes.
//!
//! It stands apart from the configuration's own parser: JSON is read only where machines write, as lists of
//! endpoints are. RFC 8259; a key that occurs twice is refused, since readers disagree on which one counts.

use std::{borrow::Cow, ops::Range};

use crate::document::{Entry, Node, Value};

/// How deep values may be nested.
const DEPTH: usize = 32;

/// Why a text is not JSON, and which bytes show it.
pub(crate) struct Fault {
    pub(crate) reason: &'static str,
    pub(crate) bytes: Range<usize>,
}

/// The value that the text is.
pub(crate) fn read(text: &str) -> Result<Node<'_>, Fault> {
    let mut reader = Reader { text, at: 0 };
    let root = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(root),
        Some(_) => Err(reader.fault("nothing may follow the value")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: usize) -> Result<Node<'t>, Fault> {
        self.space();
        let start = self.at;
        if depth > DEPTH {
            return Err(self.fault("this is nested too deep"));
        }
        let value = match self.peek() {
            Some(b'{') => Value::Table(self.table(depth)?),
            Some(b'[') => Value::List(self.list(depth)?),
            Some(b'"') => Value::Text(self.string()?),
            Some(_) => self.word()?,
            None => return Err(self.fault("a value is missing")),
        };
        Ok(Node { span: (start..self.at).into(), value })
    }

    fn table(&mut self, depth: usize) -> Result<Vec<Entry<'t>>, Fault> {
        let mut entries: Vec<Entry<'t>> = Vec::new();
        self.at += 1;
        self.space();
        if self.eat(b'}') {
            return Ok(entries);
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("a key in quotes is missing"));
            }
            let key = self.string()?;
            let key_span = (start..self.at).into();
            if entries.iter().any(|entry| entry.key == key) {
                return Err(Fault { reason: "the key occurs twice", bytes: start..self.at });
            }
            self.space();
            if !self.eat(b':') {
                return Err(self.fault("a `:` is missing"));
            }
            let node = self.value(depth + 1)?;
            entries.push(Entry { key, key_span, node });
            self.space();
            if self.eat(b'}') {
                return Ok(entries);
            }
            if !self.eat(b',') {
                return Err(self.fault("a `,` or `}` is missing"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node<'t>>, Fault> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.eat(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.eat(b']') {
                return Ok(items);
            }
            if !self.eat(b',') {
                return Err(self.fault("a `,` or `]` is missing"));
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'t, str>, Fault> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        while let Some(byte) = bytes.get(end).filter(|byte| **byte != b'"') {
            end += if *byte == b'\\' { 2 } else { 1 };
        }
        let Some(quoted) = self.text.get(start..=end) else {
            return Err(self.fault("the text has no end"));
        };
        self.at = end + 1;
        let fault = |_| Fault { reason: "the text holds what JSON does not allow", bytes: start..end + 1 };
        if !quoted.contains('\\') && !quoted.bytes().any(|byte| byte < 0x20) {
            return Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
        }
        serde_json::from_str::<String>(quoted).map(Cow::Owned).map_err(fault)
    }

    /// A number or a word.
    fn word(&mut self) -> Result<Value<'t>, Fault> {
        let rest = &self.text[self.at..];
        let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest.bytes().take_while(|byte| part(*byte)).count();
        let word = &rest[..length];
        let value = match word {
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            _ => match serde_json::from_str::<serde_json::Number>(word) {
                Ok(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(whole), _) => Value::Whole(whole),
                    (None, Some(real)) => Value::Real(real),
                    (None, None) => return Err(self.fault("the number is too large")),
                },
                Err(_) => {
                    let bytes = self.at..self.at + length.max(1);
                    return Err(Fault { reason: "this is not a value", bytes });
                }
            },
        };
        self.at += length;
        Ok(value)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, reason: &'static str) -> Fault {
        Fault { reason, bytes: self.at..self.at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_reads_is_read_alike() {
        for text in [
            r#"{"endpoints": [{"address": "10.0.0.1:80", "weight": 3, "labels": {"a": "\u00e4\n"}}]}"#,
            " [ 1 , -2 , 3.5e3 , true , false , \"\" , {} , [] ] ",
            "\"text\"",
        ] {
            let Ok(node) = read(text) else { panic!("{text}") };
            let ours = serde_json::to_value(&node).unwrap();
            assert_eq!(ours, serde_json::from_str::<serde_json::Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_goes_wrong() {
        for (text, at) in [
            ("", 0),
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\": 1,}", 8),
            ("[1 2]", 3),
            ("[1,]", 3),
            ("{\"a\": 1, \"a\": 2}", 9),
            ("\"open", 0),
            ("\"\\", 0),
            ("nul", 0),
            ("null", 0),
            ("01", 0),
            ("1 2", 2),
            ("\"\u{1}\"", 0),
            ("\u{fc}", 0),
        ] {
            let Err(fault) = read(text) else { panic!("{text:?} was read") };
            assert_eq!(fault.bytes.start, at, "{text:?}: {}", fault.reason);
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }
}
