//! The fields of a message: an ordered multi-map in two allocations that are reused from message to
//! message. Lines are kept exactly as HTTP/1.1 writes them, so that a head is read and written by
//! copying, and no field costs an allocation.
//!
//! Whatever is stored is legal (RFC 9110 5.1 and 5.5): a name or value that is not is refused on the
//! way in, so no source - a client, an HTTP/2 peer, a policy - can make a writer emit a forged line.

mod hop;
mod wanted;

use wanted::Wanted;

use super::known::{Known, KnownSet};
pub use super::syntax::{legal_name, legal_value};
pub use wanted::FieldName;

/// The fields of one message, in the order received. Names are matched without regard to case and
/// handed out in lower case.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    /// Lines: `name: value\r\n`. Removed fields leave their bytes behind until [`Fields::clear`].
    lines: Vec<u8>,
    index: Vec<Entry>,
    /// Names that may be there; what is not in it is not. Most questions are about names that are not.
    names: KnownSet,
    /// `lines` has bytes that belong to no field.
    gaps: bool,
}

/// One line: where its parts lie in `lines`.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u32,
    name: u32,
    value: u32,
    known: Known,
    removed: bool,
}

/// What a line adds to name and value: colon, space, CR, LF.
const LINE_EXTRA: usize = 4;

impl Entry {
    fn name(self) -> std::ops::Range<usize> {
        self.at as usize..(self.at + self.name) as usize
    }

    fn value(self) -> std::ops::Range<usize> {
        let at = (self.at + self.name) as usize + 2;
        at..at + self.value as usize
    }

    fn line(self) -> std::ops::Range<usize> {
        self.at as usize..(self.at + self.name + self.value) as usize + LINE_EXTRA
    }
}

impl Fields {
    /// No fields, and no memory until the first one.
    pub const fn new() -> Fields {
        Fields { lines: Vec::new(), index: Vec::new(), names: KnownSet::NONE, gaps: false }
    }

    /// Forgets every field and keeps the memory.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.index.clear();
        self.names = KnownSet::NONE;
        self.gaps = false;
    }

    /// Forgets every field and returns memory beyond `bytes`: for a connection that goes idle after an
    /// unusually large head.
    pub fn release(&mut self, bytes: usize) {
        self.clear();
        self.lines.shrink_to(bytes);
        self.index.shrink_to(bytes / 32);
    }

    /// Adds a field after all others. False, and nothing is added, if name or value is not legal.
    pub fn push(&mut self, name: &str, value: &[u8]) -> bool {
        if !legal_name(name.as_bytes()) || !legal_value(value) {
            return false;
        }
        self.push_legal(name.as_bytes(), value);
        true
    }

    /// As [`Fields::push`]; the name that an edit of the contract has.
    pub fn append(&mut self, name: &str, value: &[u8]) -> bool {
        self.push(name, value)
    }

    /// Replaces every field of this name by one at the end. False, and nothing changes, if name or
    /// value is not legal.
    pub fn set(&mut self, name: &str, value: &[u8]) -> bool {
        if !legal_name(name.as_bytes()) || !legal_value(value) {
            return false;
        }
        self.remove(name);
        self.push_legal(name.as_bytes(), value);
        true
    }

    /// As [`Fields::push`], of a known name.
    pub fn push_known(&mut self, known: Known, value: &[u8]) -> bool {
        if known == Known::Other || !legal_value(value) {
            return false;
        }
        self.push_known_legal(known, value);
        true
    }

    /// As [`Fields::set`], of a known name.
    pub fn set_known(&mut self, known: Known, value: &[u8]) -> bool {
        if known == Known::Other || !legal_value(value) {
            return false;
        }
        self.remove_known(known);
        self.push_known_legal(known, value);
        true
    }

    /// Removes every field of this name; true if there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.remove_wanted(Wanted::new(name))
    }

    /// Removes every field of this known name; true if there was one.
    pub fn remove_known(&mut self, known: Known) -> bool {
        self.remove_wanted(Wanted::known(known))
    }

    fn remove_wanted(&mut self, wanted: Wanted<'_>) -> bool {
        if !self.names.contains(wanted.known) {
            return false;
        }
        let mut found = false;
        for entry in self.index.iter_mut().filter(|entry| wanted.is(&self.lines, entry)) {
            entry.removed = true;
            found = true;
        }
        self.gaps |= found;
        if wanted.known != Known::Other {
            self.names = self.names.without(wanted.known);
        }
        found
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(Wanted::new(name)).next()
    }

    /// The first value of this known name.
    pub fn get_known(&self, known: Known) -> Option<&[u8]> {
        self.all_known(known).next()
    }

    /// Every value of this name, in order.
    pub fn all<'s, 'n>(&'s self, name: &'n str) -> impl Iterator<Item = &'s [u8]> + use<'s, 'n> {
        self.find(Wanted::new(name))
    }

    /// As [`Fields::all`], of a name that was looked up before.
    pub fn all_of<'s, 'n>(&'s self, name: &'n FieldName) -> impl Iterator<Item = &'s [u8]> + use<'s, 'n> {
        self.find(name.wanted())
    }

    /// Every value of this known name, in order.
    pub fn all_known(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.find(Wanted::known(known))
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Appends all values of this name to `out` as one: joined with ", " (RFC 9110 5.3), those of
    /// `cookie` with "; " (RFC 9113 8.2.3). False, and nothing is appended, if there is none.
    pub fn joined(&self, name: &str, out: &mut Vec<u8>) -> bool {
        self.join(Wanted::new(name), out)
    }

    /// As [`Fields::joined`], of a name that was looked up before.
    pub fn joined_of(&self, name: &FieldName, out: &mut Vec<u8>) -> bool {
        self.join(name.wanted(), out)
    }

    fn join(&self, wanted: Wanted<'_>, out: &mut Vec<u8>) -> bool {
        let between: &[u8] = if wanted.known == Known::Cookie { b"; " } else { b", " };
        let mut found = false;
        for value in self.find(wanted) {
            if found {
                out.extend_from_slice(between);
            }
            out.extend_from_slice(value);
            found = true;
        }
        found
    }

    /// Every field, in order: name in lower case, value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter_known().map(|(_, name, value)| (name, value))
    }

    /// As [`Fields::iter`], with the name as the proxy knows it first.
    pub fn iter_known(&self) -> impl Iterator<Item = (Known, &str, &[u8])> {
        self.live().map(|entry| {
            let name = match entry.known {
                // A stored name is a token, so this never falls back.
                Known::Other => std::str::from_utf8(&self.lines[entry.name()]).unwrap_or_default(),
                known => known.as_str(),
            };
            (entry.known, name, &self.lines[entry.value()])
        })
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.live().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live().next().is_none()
    }

    /// Bytes that all fields take as HTTP/1.1 writes them.
    pub fn byte_size(&self) -> usize {
        self.live().map(|entry| entry.line().len()).sum()
    }

    /// At least as many bytes as [`Fields::byte_size`], known at once.
    pub fn byte_room(&self) -> usize {
        self.lines.len()
    }

    /// Whether one of these names may be there; false: none is.
    pub fn may_have(&self, names: KnownSet) -> bool {
        self.names.meets(names)
    }

    /// Appends every field as `name: value\r\n`, except those of `skip`.
    pub fn write_lines(&self, skip: KnownSet, out: &mut Vec<u8>) {
        if !self.gaps && !self.names.meets(skip) {
            return out.extend_from_slice(&self.lines);
        }
        // Lines that stand side by side in memory and are all wanted go out in one copy.
        let mut run = 0..0;
        for entry in self.live().filter(|entry| !skip.contains(entry.known)) {
            let line = entry.line();
            if line.start == run.end {
                run.end = line.end;
                continue;
            }
            out.extend_from_slice(&self.lines[run]);
            run = line;
        }
        out.extend_from_slice(&self.lines[run]);
    }

    /// Every field as the proxy knows its name, with its value.
    pub(super) fn known_values(&self) -> impl Iterator<Item = (Known, &[u8])> {
        self.live().map(|entry| (entry.known, &self.lines[entry.value()]))
    }

    /// Adds a field whose name is a token and whose value is legal.
    pub(super) fn push_legal(&mut self, name: &[u8], value: &[u8]) {
        let at = self.add_line(name, value);
        self.index_line(at, name.len());
    }

    /// As [`Fields::push`], of a name that is a token in lower case.
    pub(super) fn push_lower(&mut self, name: &str, value: &[u8]) -> bool {
        if !legal_value(value) {
            return false;
        }
        let name = name.as_bytes();
        let at = self.add_line(name, value);
        self.index_known(at, name.len(), Known::of_lower(name));
        true
    }

    /// As [`Fields::push_legal`], of a known name.
    fn push_known_legal(&mut self, known: Known, value: &[u8]) {
        let name = known.as_str().as_bytes();
        let at = self.add_line(name, value);
        self.index_known(at, name.len(), known);
    }

    /// Writes a line behind all others, and tells where it begins.
    fn add_line(&mut self, name: &[u8], value: &[u8]) -> usize {
        let at = self.lines.len();
        self.lines.reserve(name.len() + value.len() + LINE_EXTRA);
        self.lines.extend_from_slice(name);
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        at
    }

    /// Adds a field from its line, `name: value`, which is legal and has exactly this one blank.
    pub(super) fn push_line(&mut self, line: &[u8], name_len: usize) {
        let at = self.lines.len();
        self.lines.reserve(line.len() + 2);
        self.lines.extend_from_slice(line);
        self.lines.extend_from_slice(b"\r\n");
        self.index_line(at, name_len);
    }

    /// Takes the line at the end of `lines` into the index.
    fn index_line(&mut self, at: usize, name_len: usize) {
        let name = &mut self.lines[at..at + name_len];
        name.make_ascii_lowercase();
        let known = Known::of_lower(name);
        self.index_known(at, name_len, known);
    }

    /// As [`Fields::index_line`], of a line whose name is known and in lower case.
    fn index_known(&mut self, at: usize, name_len: usize, known: Known) {
        let value_len = self.lines.len() - at - name_len - LINE_EXTRA;
        // The limits of every caller lie far below 4 GiB; a line beyond it is not stored.
        if u32::try_from(self.lines.len()).is_err() {
            self.lines.truncate(at);
            return;
        }
        let (at, name, value) = (at as u32, name_len as u32, value_len as u32);
        self.names = self.names.with(known);
        self.index.push(Entry { at, name, value, known, removed: false });
    }

    fn live(&self) -> impl Iterator<Item = &Entry> {
        self.index.iter().filter(|entry| !entry.removed)
    }

    fn find<'s, 'n>(&'s self, wanted: Wanted<'n>) -> impl Iterator<Item = &'s [u8]> + use<'s, 'n> {
        let index = if self.names.contains(wanted.known) { &*self.index } else { &[] };
        index
            .iter()
            .filter(move |entry| wanted.is(&self.lines, entry))
            .map(|entry| &self.lines[entry.value()])
    }
}

/// Equal when the same fields stand in the same order, whatever was removed before.
impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

#[cfg(test)]
mod tests;
