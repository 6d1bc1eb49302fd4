//! What HTTP/1.1 says of a WebSocket and HTTP/2 does not (RFC 6455 4, RFC 8441 5): the key that a server proves to
//! have read. Where the two meet, the proxy is one end of that.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::message::Fields;

/// The protocol's name in `upgrade` and `:protocol`.
pub(super) const NAME: &[u8] = b"websocket";
/// The field with the key.
pub(super) const KEY: &str = "sec-websocket-key";
/// The field that proves that it was read.
pub(super) const ACCEPT: &str = "sec-websocket-accept";

/// A key: 16 bytes in base64 (RFC 6455 4.1). It keeps caches from answering and is no secret.
pub(super) fn key(high: u64, low: u64) -> Vec<u8> {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&high.to_be_bytes());
    nonce[8..].copy_from_slice(&low.to_be_bytes());
    base64(&nonce)
}

/// What a server answers the key of this request with (RFC 6455 4.2.2); none without a key.
pub(super) fn accepted(request: &Fields) -> Option<Vec<u8>> {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let key = request.get(KEY)?;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    Some(base64(hash.as_ref()))
}

/// RFC 4648 4, with padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let digit =
            |at: usize| if at <= three.len() { DIGITS[(bits >> (18 - 6 * at)) as usize & 63] } else { b'=' };
        text.extend((0..4).map(digit));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 1.3.
    #[test]
    fn a_key_is_answered_as_the_rfc_says() {
        let mut fields = Fields::new();
        assert_eq!(accepted(&fields), None);
        assert!(fields.push(KEY, b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(accepted(&fields).as_deref(), Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..]));
    }

    #[test]
    fn keys_are_sixteen_bytes_in_base64() {
        assert_eq!(key(0x7468_6520_7361_6d70, 0x6c65_206e_6f6e_6365), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!((base64(b""), base64(b"f"), base64(b"foo")), (vec![], b"Zg==".to_vec(), b"Zm9v".to_vec()));
    }
}
