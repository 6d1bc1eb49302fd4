//! Ids of exchanges, traces and spans.
//!
//! They come from the cryptographic generator, so that nobody can guess the id of another's exchange, but in
//! batches: one call serves some hundred ids, and a worker keeps its own.

use std::{fmt, str};

/// Random bytes fetched at a time.
const BATCH: usize = 1_024;

/// A worker's source of ids.
pub struct Ids {
    batch: Box<[u8; BATCH]>,
    used: usize,
}

impl Ids {
    /// A source that has fetched nothing yet.
    pub fn new() -> Self {
        Ids { batch: Box::new([0; BATCH]), used: BATCH }
    }

    /// An id for an exchange.
    pub fn request(&mut self) -> RequestId {
        RequestId::of(self.bytes())
    }

    /// A trace id, never all zero (W3C Trace Context 3.2.2.3).
    pub fn trace(&mut self) -> [u8; 16] {
        self.not_zero()
    }

    /// A span id, never all zero (W3C Trace Context 3.2.2.4).
    pub fn span(&mut self) -> [u8; 8] {
        self.not_zero()
    }

    fn not_zero<const N: usize>(&mut self) -> [u8; N] {
        loop {
            let bytes = self.bytes();
            if bytes != [0; N] {
                return bytes;
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > BATCH {
            self.fetch();
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.batch[self.used..self.used + N]);
        self.used += N;
        bytes
    }

    fn fetch(&mut self) {
        self.used = 0;
        if aws_lc_rs::rand::fill(self.batch.as_mut_slice()).is_err() {
            // No randomness, no TLS and no more uniqueness across processes; but exchanges go on.
            self.count_on();
        }
    }

    /// Makes the batch differ from the one before, from the time.
    fn count_on(&mut self) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut state = now.as_nanos() as u64;
        for chunk in self.batch.chunks_exact_mut(8) {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            chunk.copy_from_slice(&state.to_le_bytes());
        }
    }
}

impl Default for Ids {
    fn default() -> Self {
        Ids::new()
    }
}

/// The id of an exchange, as it stands in `x-request-id`: a random UUID (RFC 9562 5.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 36]);

impl RequestId {
    fn of(mut random: [u8; 16]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        random[6] = random[6] & 0x0f | 0x40;
        random[8] = random[8] & 0x3f | 0x80;
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|at| ![8, 13, 18, 23].contains(at));
        let halves = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, half) in places.zip(halves) {
            text[place] = DIGITS[usize::from(half)];
        }
        RequestId(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Its text, for a field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_request_id_is_a_uuid_of_version_4() {
        let id = RequestId::of([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let counted: [u8; 16] = std::array::from_fn(|at| at as u8);
        assert_eq!(RequestId::of(counted).as_str(), "00010203-0405-4607-8809-0a0b0c0d0e0f");
    }

    #[test]
    fn ids_differ_within_and_across_batches_and_workers() {
        let (mut one, mut another) = (Ids::new(), Ids::new());
        let ids: HashSet<_> = (0..10_000).flat_map(|_| [one.request(), another.request()]).collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn batches_without_randomness_still_differ() {
        let mut ids = Ids::new();
        ids.count_on();
        let first = *ids.batch;
        assert!(first.chunks_exact(16).collect::<HashSet<_>>().len() == BATCH / 16);
        assert_ne!(ids.trace(), ids.trace());
    }
}
