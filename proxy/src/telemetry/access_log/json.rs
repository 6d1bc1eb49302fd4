//! JSON text of values that came from strangers.

/// Bytes of a value that are kept.
const VALUE_MAX: usize = 2_048;

/// An object being written; its members are separated as they come.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, first: true }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// A member whose value the caller appends. The name is one of ours and needs no escaping.
    pub(super) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn string(&mut self, name: &str, value: &[u8]) {
        string(value, self.member(name));
    }

    pub(super) fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.string(name, value.as_bytes());
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        number(value, self.member(name));
    }

    /// A member whose name came from a stranger too.
    pub(super) fn foreign(&mut self, name: &str, value: &str) {
        self.separate();
        string(name.as_bytes(), self.out);
        self.out.push(b':');
        string(value.as_bytes(), self.out);
    }

    fn separate(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }
}

/// Appends a string. Bytes that are not UTF-8 are shown as `\xNN`, so that nothing a caller sent is lost;
/// values beyond a bound are cut and end in "...".
pub(super) fn string(value: &[u8], out: &mut Vec<u8>) {
    let (kept, cut) = bounded(value);
    out.push(b'"');
    for chunk in kept.utf8_chunks() {
        escaped(chunk.valid(), out);
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            hex(*byte, out);
        }
    }
    if cut {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}

fn bounded(value: &[u8]) -> (&[u8], bool) {
    if value.len() <= VALUE_MAX {
        return (value, false);
    }
    // Back to the beginning of a character, which is at most three bytes away.
    let starts = |at: &usize| value[*at] & 0xc0 != 0x80;
    let end = (VALUE_MAX - 3..=VALUE_MAX).rev().find(starts).unwrap_or(VALUE_MAX);
    (&value[..end], true)
}

/// RFC 8259 7. DEL and the C1 controls are escaped as well: terminals obey them.
fn escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, c) in text.char_indices() {
        if c != '"' && c != '\\' && !c.is_control() {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // Every control character lies below 256.
            c => {
                out.extend_from_slice(b"\\u00");
                hex(c as u8, out);
            }
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Appends a number.
pub(super) fn number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(value: &[u8]) -> String {
        let mut out = Vec::new();
        string(value, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn text_is_read_back_as_it_was() {
        let every: String = (0..0x3000).filter_map(char::from_u32).collect();
        for part in every.chars().collect::<Vec<_>>().chunks(500) {
            let part: String = part.iter().collect();
            assert_eq!(read_back(part.as_bytes()), part);
        }
        assert_eq!(read_back("\u{1f980} \u{10ffff}".as_bytes()), "\u{1f980} \u{10ffff}");
    }

    #[test]
    fn no_control_character_is_written_as_it_is() {
        let mut out = Vec::new();
        string("\0\x1b[2J\x7f\u{85}\r\n".as_bytes(), &mut out);
        assert_eq!(out, br#""\u0000\u001b[2J\u007f\u0085\r\n""#);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown() {
        assert_eq!(read_back(b"/caf\xe9/\xf0\x9f\"x"), "/caf\\xe9/\\xf0\\x9f\"x");
        let every: Vec<u8> = (0..=255).collect();
        assert!(read_back(&every).ends_with("\\xfe\\xff"));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "\u{20ac}".repeat(1_000);
        let read = read_back(long.as_bytes());
        assert_eq!(read, "\u{20ac}".repeat(682) + "...");
        assert_eq!(read_back(&[0x80; 3_000]).len(), VALUE_MAX * 4 + 3);
    }

    #[test]
    fn numbers_are_written_whole() {
        for value in [0, 9, 10, 1_234_567, u64::MAX] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }
}
