//! Between the fields of a message and the header map that the HTTP/2 library speaks.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::{Fields, KnownSet};

/// Fields from a header map. None if one of them is not legal: the library lets blanks pass at the ends of a
/// value, which make a message malformed (RFC 9113 8.2.1).
pub(super) fn fields_from_map(map: &HeaderMap) -> Option<Fields> {
    let mut fields = Fields::new();
    push_map(&mut fields, map).then_some(fields)
}

/// Adds a header map's fields. False, and some are missing, if one of them is not legal: a message must not go
/// on without it, for it may be what forbids to store the rest.
#[must_use]
pub(super) fn push_map(fields: &mut Fields, map: &HeaderMap) -> bool {
    map.iter().fold(true, |all, (name, value)| fields.push(name.as_str(), value.as_bytes()) && all)
}

/// A header map of all fields but those of `skip`. Values share one allocation.
pub(super) fn map_from_fields(fields: &Fields, skip: KnownSet) -> HeaderMap {
    let mut block = Vec::with_capacity(fields.byte_size());
    for (_, _, value) in fields.iter_known() {
        block.extend_from_slice(value);
    }
    let block = Bytes::from(block);
    let mut map = HeaderMap::with_capacity(fields.len() + 4);
    let mut at = 0;
    for (known, name, value) in fields.iter_known() {
        let bytes = block.slice(at..at + value.len());
        at += value.len();
        if skip.contains(known) {
            continue;
        }
        // Stored fields are legal, so neither conversion fails.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(bytes))
        {
            map.append(name, value);
        }
    }
    map
}
