//! Tests of the codec: tables of cases by kind of message, and properties of all messages.

mod chunks;
mod framing;
mod properties;
mod requests;
mod responses;
mod targets;
mod writing;

use super::*;
use crate::http::head::{Method, RequestHead, ResponseHead};

const LIMITS: HeadLimits = HeadLimits { bytes: 16 * 1024, fields: 100 };

/// Reads a whole request head.
fn request(text: &[u8]) -> Result<Option<(RequestHead, Parsed)>, BadRequest> {
    let mut head = RequestHead::new();
    let parsed = parse_request(text, &mut Scan::default(), LIMITS, &mut head)?;
    Ok(parsed.map(|parsed| (head, parsed)))
}

/// Reads a whole response head.
fn response(text: &[u8], to: &Method) -> Result<Option<(ResponseHead, ParsedResponse)>, BadResponse> {
    let mut head = ResponseHead::default();
    let parsed = parse_response(text, &mut Scan::default(), LIMITS, to, &mut head)?;
    Ok(parsed.map(|parsed| (head, parsed)))
}

/// Text for messages of failed assertions.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
