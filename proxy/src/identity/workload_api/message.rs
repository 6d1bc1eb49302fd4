//! The one message that comes: `X509SVIDResponse` of the Workload API, read from its protobuf encoding.
//!
//! Of a message with four fields, and of a format with four ways to write one, nothing is left for a generator to do.
//! Unknown fields are skipped, as the format wants it.

/// What an agent has for us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct X509Svids {
    /// In the agent's order.
    pub(super) svids: Vec<X509Svid>,
    /// Authorities of other trust domains, by their IDs; certificates follow each other.
    pub(super) federated: Vec<(String, Vec<u8>)>,
}

/// One SVID.
#[derive(Default, PartialEq, Eq)]
pub(super) struct X509Svid {
    /// Its SPIFFE ID.
    pub(super) id: String,
    /// The certificate, then those that lead to an authority; one after the other in DER.
    pub(super) chain: Vec<u8>,
    /// PKCS #8.
    pub(super) key: Vec<u8>,
    /// Authorities of its trust domain, one after the other in DER.
    pub(super) bundle: Vec<u8>,
}

/// Without the key.
impl std::fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("X509Svid").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The bytes are not the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl X509Svids {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut all = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(svid)) => all.svids.push(X509Svid::read(svid)?),
                (3, Value::Bytes(entry)) => all.federated.push(entry_of(entry)?),
                _ => {}
            }
        }
        Ok(all)
    }
}

impl X509Svid {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut svid = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(id)) => svid.id = text(id)?,
                (2, Value::Bytes(chain)) => svid.chain = chain.to_vec(),
                (3, Value::Bytes(key)) => svid.key = key.to_vec(),
                (4, Value::Bytes(bundle)) => svid.bundle = bundle.to_vec(),
                _ => {}
            }
        }
        Ok(svid)
    }
}

/// An entry of a map is a message of its key and its value.
fn entry_of(bytes: &[u8]) -> Result<(String, Vec<u8>), Malformed> {
    let mut entry = (String::new(), Vec::new());
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(key)) => entry.0 = text(key)?,
            (2, Value::Bytes(value)) => entry.1 = value.to_vec(),
            _ => {}
        }
    }
    Ok(entry)
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed)
}

/// The fields of a message, with their numbers.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    /// Length-delimited: text, bytes, messages.
    Bytes(&'a [u8]),
    /// A number of some kind; none is of interest.
    Number,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => {
                self.varint()?;
                Value::Number
            }
            1 => {
                self.take(8)?;
                Value::Number
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Number
            }
            // Groups, long gone from the format, and what never was in it.
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_read_and_what_is_unknown_skipped() {
        let svid = [&b"\x0a\x0dspiffe://td/a"[..], b"\x12\x01C", b"\x1a\x01K", b"\x22\x01B", b"\x2a\x04hint"]
            .concat();
        let mut bytes = vec![0x0a, svid.len() as u8];
        bytes.extend(&svid);
        // A list of revoked ones, a number, two fixed ones, and a trust domain that is federated.
        bytes.extend(b"\x12\x03crl\x20\x96\x01\x29\0\0\0\0\0\0\0\0\x35\0\0\0\0");
        bytes.extend(b"\x1a\x0f\x0a\x0aspiffe://o\x12\x01F");
        let read = X509Svids::read(&bytes).unwrap();
        let [one] = read.svids.as_slice() else { panic!("{read:?}") };
        assert_eq!(
            (one.id.as_str(), &*one.chain, &*one.key, &*one.bundle),
            ("spiffe://td/a", &b"C"[..], &b"K"[..], &b"B"[..])
        );
        assert_eq!(read.federated, [("spiffe://o".to_owned(), b"F".to_vec())]);
        assert!(!format!("{read:?}").contains("75"), "no key in logs: {read:?}");
        assert_eq!(X509Svids::read(b"").unwrap(), X509Svids::default());
    }

    #[test]
    fn what_is_cut_or_no_message_is_malformed() {
        for bytes in [
            &b"\x0a"[..],
            b"\x0a\x05ab",
            b"\x0b",
            b"\x0a\x02\x0a\x05",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(X509Svids::read(bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(X509Svids::read(b"\x0a\x04\x0a\x02\xff\xfe"), Err(Malformed), "an ID is text");
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = X509Svids::read(&bytes);
        }
    }
}
