//! HTTP/1.1 on the wire (RFC 9112): heads and chunked bodies, read strictly and written canonically.
//! No I/O happens here: bytes and values go in, values and bytes come out.
//!
//! The rule that shapes everything is that nothing ambiguous passes. Two servers that read one message
//! differently are how requests are smuggled, so whatever RFC 9112 lets a recipient repair is refused
//! instead, and what is accepted is never copied but written anew: framing fields come from
//! [`Framing`], `host` from the head, `connection` from [`Connection`].

mod chunked;
mod date;
mod error;
mod framing;
mod lines;
mod parse;
#[cfg(test)]
mod tests;
mod write;

pub use chunked::{ChunkedDecoder, Decoded};
pub use date::DateCache;
pub use error::{BadChunk, BadRequest, BadResponse};
pub use framing::Framing;
pub use lines::{HeadLimits, Scan};
pub use parse::{Parsed, ParsedResponse, parse_request, parse_response};
pub use write::{
    ChunkHead, Connection, chunk_head, write_chunk, write_last_chunk, write_request, write_response,
};
