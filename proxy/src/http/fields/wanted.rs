//! Names to look for, with the known part of the question answered once.

use super::{super::known::Known, Entry, legal_name};

/// A name to look for in one message.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) known: Known,
    name: &'a [u8],
}

/// A name to look for in many messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName {
    known: Known,
    name: Box<str>,
}

impl FieldName {
    /// Of a legal name in lower case.
    pub fn new(name: &str) -> Option<Self> {
        let legal = legal_name(name.as_bytes()) && !name.bytes().any(|byte| byte.is_ascii_uppercase());
        legal.then(|| Self { known: Known::of(name), name: name.into() })
    }

    /// The name as the proxy knows it.
    pub fn known(&self) -> Known {
        self.known
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { known: self.known, name: self.name.as_bytes() }
    }
}

impl<'a> Wanted<'a> {
    pub(super) fn new(name: &'a str) -> Wanted<'a> {
        Wanted { known: Known::of(name), name: name.as_bytes() }
    }

    pub(super) fn known(known: Known) -> Wanted<'a> {
        Wanted { known, name: b"" }
    }

    pub(super) fn is(self, lines: &[u8], entry: &Entry) -> bool {
        entry.known == self.known
            && !entry.removed
            && (self.known != Known::Other || lines[entry.name()].eq_ignore_ascii_case(self.name))
    }
}
