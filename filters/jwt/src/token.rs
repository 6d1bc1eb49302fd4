//! A token taken apart (RFC 7515 5.2): three parts, strict base64url without padding, a header that
//! asks for nothing unknown. The claims stay closed until the signature was checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::json;
use crate::refusal::Refusal;

/// Longer tokens are refused: no issuer makes them, and servers take no more in a field.
const MAX_BYTES: usize = 8 << 10;

/// What the header says that matters here. Unverified.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
}

pub(crate) struct Token<'a> {
    pub(crate) header: Header,
    /// What the signature is over.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    payload: &'a str,
}

impl<'a> Token<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refusal> {
        Self::take_apart(text).ok_or(Refusal::Malformed)
    }

    fn take_apart(text: &'a str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // `none` has an empty signature; it is refused by its name, with the right reason.
        if payload.contains('.') {
            return None;
        }
        Some(Token {
            header: Header::parse(header)?,
            signed: signed.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            payload,
        })
    }

    /// The claims; to be asked for once the signature is right.
    pub(crate) fn claims(&self) -> Result<json::Object, Refusal> {
        let payload = URL_SAFE_NO_PAD.decode(self.payload).ok();
        payload.and_then(|payload| json::object(&payload)).ok_or(Refusal::Malformed)
    }
}

impl Header {
    fn parse(encoded: &str) -> Option<Self> {
        let mut header = json::object(&URL_SAFE_NO_PAD.decode(encoded).ok()?)?;
        // Extensions that must be understood (RFC 7515 4.1.11): there is none that is.
        if header.contains_key("crit") {
            return None;
        }
        let mut text = |name: &str| match header.remove(name) {
            None => Some(None),
            Some(Value::String(text)) => Some(Some(text)),
            Some(_) => None,
        };
        Some(Header { alg: text("alg")??, kid: text("kid")?, typ: text("typ")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_token_has_three_parts_in_strict_base64url() {
        let header = part(r#"{"alg":"ES256","kid":"a"}"#);
        let good = format!("{header}.{}.c2ln", part("{}"));
        let token = Token::parse(&good).ok().unwrap();
        assert_eq!((token.header.kid.as_deref(), token.signature.as_slice()), (Some("a"), &b"sig"[..]));
        assert_eq!(token.signed, &good.as_bytes()[..good.len() - 5]);
        assert!(token.claims().is_ok());
        for bad in [
            String::new(),
            "a".to_owned(),
            "..".to_owned(),
            format!("{header}.e30"),
            format!("{header}.e30.c2ln.c2ln"),
            format!("{header}.e30.c2ln.c2ln.c2ln"),
            format!("{header}.e30.c2l="),
            format!("{header}.e30.c2l+"),
            format!("{header}.e30.c2lz\u{e9}"),
            format!("{header}.e30.c2k9 "),
            format!("{header}=.e30.c2ln"),
            // Bits beyond the last byte: another text for the same bytes (RFC 4648 3.5).
            format!("{header}.e30.c2lnYR"),
            format!("{header}.e30.{}", "A".repeat(MAX_BYTES)),
        ] {
            assert!(Token::parse(&bad).is_err(), "{:.60}", bad);
        }
    }

    #[test]
    fn a_header_is_refused_if_it_says_what_is_not_understood() {
        for (header, fits) in [
            (r#"{"alg":"RS256"}"#, true),
            (r#"{"alg":"RS256","typ":"JWT","x":[{}]}"#, true),
            (r#"{"typ":"JWT"}"#, false),
            (r#"{"alg":null}"#, false),
            (r#"{"alg":"RS256","alg":"none"}"#, false),
            (r#"{"alg":"RS256","kid":7}"#, false),
            (r#"{"alg":"RS256","crit":["b64"],"b64":false}"#, false),
            (r#"["RS256"]"#, false),
        ] {
            assert_eq!(Header::parse(&part(header)).is_some(), fits, "{header}");
        }
    }
}
