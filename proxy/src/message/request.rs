//! [`Request`]: a request's head with all that was learned about it on its way.

use std::{borrow::Cow, sync::Arc};

use compact_str::CompactString;

use super::{ConnectionInfo, FieldName, Known, RequestHead, RouteChoice};
use crate::telemetry::trace_context::TraceParent;

/// One request. Policies are shown values of it, and their decisions are applied to it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Head, as edited so far. Path and authority are what will be sent.
    pub head: RequestHead,
    /// What filters learned: name (without "@") and value, in order.
    pub facts: Vec<(CompactString, CompactString)>,
    /// Where it goes.
    pub route: RouteChoice,
    /// Its name in logs, at the origin and in the response.
    pub id: RequestId,
    /// The trace it is part of, if its caller said so.
    pub trace: Option<TraceParent>,
    /// Where it came from.
    pub connection: Option<Arc<ConnectionInfo>>,
}

/// A request's id: the caller's own if legal, else 32 random hexadecimal digits. It tells exchanges apart and
/// is no secret: nobody may be let in for knowing one.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    bytes: [u8; 64],
    len: u8,
}

impl Default for RequestId {
    fn default() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }
}

impl RequestId {
    /// Takes over the caller's: 1 to 64 visible ASCII characters.
    pub fn adopt(value: &[u8]) -> Option<Self> {
        if value.is_empty() || value.len() > 64 || !value.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; 64];
        bytes[..value.len()].copy_from_slice(value);
        Some(Self { bytes, len: value.len() as u8 })
    }

    /// From 128 random bits.
    pub fn random(high: u64, low: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = [0; 64];
        let bits = u128::from(high) << 64 | u128::from(low);
        for (at, byte) in bytes.iter_mut().take(32).enumerate() {
            *byte = DIGITS[(bits >> (124 - 4 * at)) as usize & 15];
        }
        Self { bytes, len: 32 }
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// The text; empty before one was given.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Request {
    /// Ready for the next one; memory is kept.
    pub fn clear(&mut self) {
        self.head.clear();
        self.facts.clear();
        self.route.clear();
        self.id = RequestId::default();
        self.trace = None;
        self.connection = None;
    }

    /// The latest fact of this name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every field as "name: value\r\n".
    pub fn fields_text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.head.fields.byte_size());
        for (name, value) in self.head.fields.iter() {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            text.extend_from_slice(b"\r\n");
        }
        text
    }

    /// The field `name`, joined where it occurs more than once; `host` is the authority.
    pub fn field(&self, name: &FieldName) -> Option<Cow<'_, [u8]>> {
        if name.known() == Known::Host {
            return Some(self.head.authority()).filter(|a| !a.is_empty()).map(|a| a.as_bytes().into());
        }
        let mut values = self.head.fields.all_of(name);
        let first = values.next()?;
        if values.next().is_none() {
            return Some(Cow::Borrowed(first));
        }
        let mut joined = Vec::new();
        self.head.fields.joined_of(name, &mut joined);
        Some(Cow::Owned(joined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_adopted_only_when_harmless() {
        assert_eq!(RequestId::adopt(b"a-1").map(|id| id.as_str().to_owned()).as_deref(), Some("a-1"));
        for bad in [&b""[..], b"a b", b"a\n", &[b'x'; 65], "\u{e4}".as_bytes()] {
            assert!(RequestId::adopt(bad).is_none(), "{bad:?}");
        }
        assert_eq!(RequestId::random(0x0123_4567_89ab_cdef, 1).as_str(), "0123456789abcdef0000000000000001");
    }
}
