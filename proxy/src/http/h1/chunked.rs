//! Chunked transfer coding, undone as the bytes arrive (RFC 9112 7.1). Data are handed out where they
//! lie; only a trailer line that arrives in pieces is copied.

use std::ops::Range;

use super::error::BadChunk;
use super::lines::{HeadLimits, field_line};
use crate::http::fields::Fields;
use crate::http::syntax::is_token_byte;

/// Undoes the chunked coding of one body after the other.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Size read so far, then what is left of the chunk's data.
    left: u64,
    digits: u8,
    extension: u16,
    /// The trailer line that is arriving.
    line: Vec<u8>,
    trailer_bytes: usize,
    trailer_fields: usize,
    trailers: Fields,
    limits: HeadLimits,
}

/// What one call of [`ChunkedDecoder::decode`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the input are dealt with: do not show them again.
    pub consumed: usize,
    /// Where body bytes lie in the input; may be empty.
    pub data: Range<usize>,
    /// Whether the body ended with the consumed bytes. What follows belongs to the next message.
    pub done: bool,
}

/// What the next byte must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    ExtensionName { begun: bool },
    ExtensionValue,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscaped,
    ExtensionEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// Hexadecimal digits of a chunk size: what 64 bits hold.
const DIGITS_MOST: u8 = 16;

/// Bytes of extensions in one chunk's line. They are checked and dropped; nobody needs many.
const EXTENSION_MOST: u16 = 1024;

impl ChunkedDecoder {
    /// A decoder whose trailers may take so much.
    pub const fn new(trailers: HeadLimits) -> ChunkedDecoder {
        ChunkedDecoder {
            state: State::Size,
            left: 0,
            digits: 0,
            extension: 0,
            line: Vec::new(),
            trailer_bytes: 0,
            trailer_fields: 0,
            trailers: Fields::new(),
            limits: trailers,
        }
    }

    /// Ready for another body; the memory is kept.
    pub fn reset(&mut self) {
        self.state = State::Size;
        (self.left, self.digits, self.extension) = (0, 0, 0);
        (self.trailer_bytes, self.trailer_fields) = (0, 0);
        self.line.clear();
        self.trailers.clear();
    }

    /// Takes what it can from `input`: at most one run of data, and whatever framing surrounds it. Call
    /// it again with what it did not consume, until `done`. After an error the body is lost, and with
    /// it the connection.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, BadChunk> {
        let mut at = 0;
        let mut data = 0..0;
        while at < input.len() {
            match self.state {
                State::Done => break,
                State::Data if !data.is_empty() => break,
                State::Data => {
                    let run = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                    data = at..at + run;
                    at += run;
                    self.left -= run as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailers => at += self.trailer_line(&input[at..])?,
                _ => {
                    self.state = self.step(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(Decoded { consumed: at, data, done: self.is_done() })
    }

    /// Whether the body ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields; complete when the body ended. Those that may not be trailers were dropped
    /// (RFC 9110 6.5.1).
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// As [`ChunkedDecoder::trailers`], to change or to take them.
    pub fn trailers_mut(&mut self) -> &mut Fields {
        &mut self.trailers
    }

    /// One byte of the framing around data.
    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        match (self.state, byte) {
            (State::Size, b'\r' | b';') if self.digits == 0 => Err(BadChunk::Size),
            (State::Size, b'\r' | b';') => Ok(after_part(byte)),
            (State::Size, _) => self.digit(byte),
            (State::SizeLf, b'\n') => Ok(self.begin_chunk()),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::SizeLf | State::DataCr | State::DataLf, _) => Err(BadChunk::LineEnd),
            _ => self.extension(byte),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, BadChunk> {
        let digit = char::from(byte).to_digit(16).ok_or(BadChunk::Size)?;
        if self.digits == DIGITS_MOST {
            return Err(BadChunk::Size);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn begin_chunk(&mut self) -> State {
        (self.digits, self.extension) = (0, 0);
        if self.left == 0 { State::Trailers } else { State::Data }
    }

    /// `;name`, `;name=token` or `;name="quoted"`, as often as one likes (RFC 9112 7.1.1). The blanks
    /// that the grammar calls bad are refused.
    fn extension(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.extension += 1;
        if self.extension > EXTENSION_MOST {
            return Err(BadChunk::ExtensionTooLong);
        }
        let is_text = byte == b'\t' || byte >= b' ' && byte != 0x7f;
        match (self.state, byte) {
            (State::ExtensionName { begun: true }, b'=') => Ok(State::ExtensionValue),
            (
                State::ExtensionName { begun: true } | State::ExtensionToken | State::ExtensionEnd,
                b';' | b'\r',
            ) => Ok(after_part(byte)),
            (State::ExtensionName { .. }, _) if is_token_byte(byte) => {
                Ok(State::ExtensionName { begun: true })
            }
            (State::ExtensionValue, b'"') => Ok(State::ExtensionQuoted),
            (State::ExtensionValue | State::ExtensionToken, _) if is_token_byte(byte) => {
                Ok(State::ExtensionToken)
            }
            (State::ExtensionQuoted, b'"') => Ok(State::ExtensionEnd),
            (State::ExtensionQuoted, b'\\') => Ok(State::ExtensionEscaped),
            (State::ExtensionQuoted | State::ExtensionEscaped, _) if is_text => Ok(State::ExtensionQuoted),
            _ => Err(BadChunk::Extension),
        }
    }

    /// Takes a trailer line, or as much of it as there is.
    fn trailer_line(&mut self, input: &[u8]) -> Result<usize, BadChunk> {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |end| end + 1);
        self.trailer_bytes += taken;
        if self.trailer_bytes > self.limits.bytes {
            return Err(BadChunk::TrailersTooLarge);
        }
        self.line.extend_from_slice(&input[..taken]);
        if end.is_none() {
            return Ok(taken);
        }
        let line = self.line.strip_suffix(b"\r\n").ok_or(BadChunk::LineEnd)?;
        if line.is_empty() {
            self.state = State::Done;
        } else {
            self.trailer_fields += 1;
            if self.trailer_fields > self.limits.fields {
                return Err(BadChunk::TrailersTooLarge);
            }
            let (name, value) = field_line(line).map_err(|_| BadChunk::Trailer)?;
            self.trailers.push_trailer(name, value);
        }
        self.line.clear();
        Ok(taken)
    }
}

/// What follows a part of a size line that ended with this byte.
fn after_part(byte: u8) -> State {
    if byte == b'\r' { State::SizeLf } else { State::ExtensionName { begun: false } }
}
