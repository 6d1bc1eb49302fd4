//! How a body is delimited (RFC 9112 6), and what else the fields of a head say about this message and
//! its connection. Decided once, here, from the stored fields.

use super::error::Fault;
use crate::http::fields::Fields;
use crate::http::head::Version;
use crate::http::known::{Known, KnownSet};
use crate::http::syntax::{legal_name, tokens, trim};

/// How the body of a message is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and no field says so.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Whatever comes until the peer closes. Responses only.
    UntilClose,
}

impl Framing {
    /// Whether the message certainly carries no content.
    pub const fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}

/// What the fields of one head claim. Borrowed from the head.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    pub(super) length: Option<u64>,
    pub(super) lengths: usize,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) expect: Option<&'a [u8]>,
    /// Whether codings that are passed on lie beneath `chunked`.
    pub(super) inner_codings: bool,
    unknown_coding: bool,
    codings: usize,
    unsafe_upgrade: bool,
    options: usize,
}

/// The fields that claim something.
const CLAIMING: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::ContentLength,
    Known::Expect,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// More transfer codings than this serve nobody.
const CODINGS_MOST: usize = 8;

/// The registered coding of this name that may lie beneath `chunked` (RFC 9112 7.2). `identity`, which
/// changes nothing and has left the register, is none.
pub(super) fn inner_coding(name: &[u8]) -> Option<&'static str> {
    ["gzip", "x-gzip", "deflate", "compress", "x-compress"]
        .into_iter()
        .find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// More options than this in `connection` serve nobody but an attacker.
const OPTIONS_MOST: usize = 32;

impl<'a> Claims<'a> {
    /// Collects the claims; a claim that contradicts itself is a fault.
    pub(super) fn gather(fields: &'a Fields, version: Version) -> Result<Claims<'a>, Fault> {
        let mut claims = Claims::default();
        if !fields.may_have(CLAIMING) {
            return Ok(claims);
        }
        let mut upgrade_field = false;
        for (known, value) in fields.known_values() {
            match known {
                Known::ContentLength => claims.add_length(value)?,
                Known::TransferEncoding => claims.add_codings(value)?,
                Known::Connection => claims.add_options(value)?,
                Known::Expect => claims.expect = Some(value),
                Known::Upgrade => {
                    upgrade_field = true;
                    claims.unsafe_upgrade |= tokens(value).any(switches_http);
                }
                _ => {}
            }
        }
        if claims.codings > 0 && !claims.chunked {
            return Err(Fault::CodingInvalid);
        }
        if claims.unknown_coding || claims.codings > CODINGS_MOST {
            return Err(Fault::CodingUnknown);
        }
        if claims.chunked && claims.length.is_some() {
            return Err(Fault::CodingWithLength);
        }
        if claims.chunked && version == Version::Http10 {
            return Err(Fault::CodingInVersion10);
        }
        claims.upgrade &= upgrade_field && !claims.unsafe_upgrade;
        Ok(claims)
    }

    /// Whether the connection persists after this message (RFC 9112 9.3).
    pub(super) fn persist(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// One `content-length`: digits only. A list such as `5, 5` is refused with the rest.
    fn add_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let length = decimal(value).ok_or(Fault::LengthInvalid)?;
        if self.length.is_some_and(|before| before != length) {
            return Err(Fault::LengthRepeated);
        }
        self.length = Some(length);
        self.lengths += 1;
        Ok(())
    }

    /// One `transfer-encoding`. Several of them make one list, of which `chunked` must be the last.
    fn add_codings(&mut self, value: &[u8]) -> Result<(), Fault> {
        for coding in value.split(|&byte| byte == b',').map(trim) {
            if self.chunked || !legal_name(coding) {
                return Err(Fault::CodingInvalid);
            }
            self.codings += 1;
            match () {
                _ if coding.eq_ignore_ascii_case(b"chunked") => self.chunked = true,
                _ if coding.eq_ignore_ascii_case(b"identity") => {}
                _ if inner_coding(coding).is_some() => self.inner_codings = true,
                _ => self.unknown_coding = true,
            }
        }
        Ok(())
    }

    fn add_options(&mut self, value: &[u8]) -> Result<(), Fault> {
        for option in tokens(value) {
            self.options += 1;
            if self.options > OPTIONS_MOST || !legal_name(option) {
                return Err(Fault::ConnectionOption);
            }
            match () {
                _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Protocols that would take the connection's HTTP away from the proxy: requests after the switch would
/// pass unseen. An upgrade to one of them is ignored, as RFC 9110 7.8 allows.
fn switches_http(protocol: &[u8]) -> bool {
    let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
    [b"h2c".as_slice(), b"h2", b"http", b"tls"].iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// A decimal number without sign, blanks or overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
