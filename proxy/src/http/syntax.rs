//! The smallest rules of HTTP's grammar (RFC 9110 5): what a field name and a field value are, and how a
//! list is taken apart. One place, so that every codec is equally strict.

/// Whether this is a field name: a token (RFC 9110 5.1, 5.6.2).
pub fn legal_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte))
}

/// Whether this is a field value (RFC 9110 5.5): no control byte but HTAB, and neither space nor HTAB
/// at its ends. An empty value is one.
pub fn legal_value(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    legal_content(value) && !blank(value.first()) && !blank(value.last())
}

/// Whether every byte may stand in a field value.
pub(super) fn legal_content(value: &[u8]) -> bool {
    // Without an early return the compiler checks many bytes at a time.
    !value.iter().fold(false, |bad, &byte| bad | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f))
}

/// Whether the byte may stand in a token (RFC 9110 5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

/// The elements of a comma-separated list, without blanks around them and without empty ones
/// (RFC 9110 5.6.1.2).
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether a comma-separated list has this element, in any case.
pub(super) fn has_token(value: &[u8], token: &[u8]) -> bool {
    tokens(value).any(|element| element.eq_ignore_ascii_case(token))
}

/// Without the optional white space at both ends (RFC 9110 5.6.3).
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
