//! Lines of a head: where they end, how many there may be, and what a field line is. Requests,
//! responses and trailers share it, so that all of them are equally strict.

use super::error::Fault;
use crate::http::fields::Fields;
use crate::http::syntax::{is_token_byte, legal_content, trim};

/// How large a head may be.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, from the first line to the empty one.
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

/// How far a head has been read, so that no byte is looked at twice however it arrives. Belongs to one
/// head: while a parse answers that the head is incomplete, call it again with the same `Scan`, the
/// same head, and a buffer that begins at the same byte. It resets itself when the head is complete.
#[derive(Debug, Default)]
pub struct Scan {
    /// Where the current line begins.
    line: usize,
    /// Where the search for its end goes on.
    searched: usize,
    /// Whether the first line was read.
    pub(super) started: bool,
    /// Empty lines before the first one.
    pub(super) blank_lines: usize,
    fields: usize,
}

impl Scan {
    /// Whether the first line of the head was read. Before that, silence of the peer is an idle
    /// connection (or a late one, if [`Scan::is_empty`] denies); after it, a slow head.
    pub fn has_first_line(&self) -> bool {
        self.started
    }

    /// Whether nothing of a head was seen yet.
    pub fn is_empty(&self) -> bool {
        self.searched == 0
    }

    /// The next complete line, without its CRLF.
    pub(super) fn next_line<'b>(
        &mut self,
        buf: &'b [u8],
        limits: HeadLimits,
    ) -> Result<Option<&'b [u8]>, Fault> {
        let Some(found) = memchr::memchr(b'\n', buf.get(self.searched..).unwrap_or_default()) else {
            self.searched = buf.len();
            return if buf.len() >= limits.bytes { Err(Fault::HeadTooLarge) } else { Ok(None) };
        };
        let end = self.searched + found;
        if end >= limits.bytes {
            return Err(Fault::HeadTooLarge);
        }
        let Some(line) = buf[self.line..end].strip_suffix(b"\r") else { return Err(Fault::BareLf) };
        self.line = end + 1;
        self.searched = self.line;
        Ok(Some(line))
    }

    /// The bytes of the line that is not complete yet.
    pub(super) fn pending<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        buf.get(self.line..).unwrap_or_default()
    }

    /// Reads a field line into `fields`.
    pub(super) fn field(
        &mut self,
        line: &[u8],
        limits: HeadLimits,
        fields: &mut Fields,
    ) -> Result<(), Fault> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(Fault::TooManyFields);
        }
        let (name, value) = field_line(line)?;
        // Nearly every line is written as it is stored, and can be copied whole.
        if line.len() == name.len() + 2 + value.len() && line[name.len() + 1] == b' ' {
            fields.push_line(line, name.len());
        } else {
            fields.push_legal(name, value);
        }
        Ok(())
    }

    /// The head ended with the line read last: its length. Ready for the next head.
    pub(super) fn finish(&mut self) -> usize {
        std::mem::take(self).line
    }
}

/// Splits a field line (RFC 9112 5) into name and value.
pub(super) fn field_line(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let name_end = line.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(line.len());
    if name_end == 0 && matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Folding);
    }
    if name_end == 0 || line.get(name_end) != Some(&b':') {
        return Err(Fault::FieldName);
    }
    let value = trim(&line[name_end + 1..]);
    if !legal_content(value) {
        return Err(Fault::FieldValue);
    }
    Ok((&line[..name_end], value))
}
