//! Between the fields of a message and the header map that the HTTP/2 library speaks.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::{Fields, Known, KnownSet};

/// The library's form of every known name, in the order of [`Known::ALL`].
static NAMES: LazyLock<Vec<HeaderName>> =
    LazyLock::new(|| Known::ALL.iter().map(|known| HeaderName::from_static(known.as_str())).collect());

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
    // The library's names are tokens in lower case.
    map.iter().fold(true, |all, (name, value)| fields.push_lower(name.as_str(), value.as_bytes()) && all)
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
        if let (Some(name), Ok(value)) = (library_name(known, name), HeaderValue::from_maybe_shared(bytes)) {
            map.append(name, value);
        }
    }
    map
}

fn library_name(known: Known, name: &str) -> Option<HeaderName> {
    match known {
        Known::Other => HeaderName::from_bytes(name.as_bytes()).ok(),
        // The variants are numbered in the order of the list, behind the one for all others.
        known => NAMES.get(known as usize - 1).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_comes_through_the_map_unchanged() {
        let mut fields = Fields::new();
        for &known in Known::ALL {
            assert!(fields.push_known(known, known.as_str().to_uppercase().as_bytes()));
        }
        assert!(fields.push("x-other", b"1") && fields.push("X-Other", b"2"));
        let mut back: Vec<_> = pairs(&fields_from_map(&map_from_fields(&fields, KnownSet::NONE)).unwrap());
        let mut sent = pairs(&fields);
        back.sort();
        sent.sort();
        assert_eq!(back, sent);
        assert_eq!(sent.len(), Known::ALL.len() + 2);
    }

    fn pairs(fields: &Fields) -> Vec<(String, Vec<u8>)> {
        fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    }
}
