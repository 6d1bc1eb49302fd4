//! W3C Trace Context: which trace an exchange belongs to (<https://www.w3.org/TR/trace-context-2/>).
//!
//! As long as the proxy records no spans of its own, it hands on what it received: a new parent id that nothing
//! ever reports would tear the trace apart, and a trace begun here would have no beginning. What is not valid is
//! not handed on.

/// Members of a `tracestate` (3.3.1.1).
const STATE_MEMBERS: usize = 32;

/// Bytes of a `tracestate` that are handed on; at least 512 must be (3.3.1.5).
const STATE_MAX: usize = 4_096;

/// Length of a `traceparent` of version 00.
const PARENT_LENGTH: usize = 55;

/// Bit of the flags: the caller may have recorded this (3.2.2.5.1).
const SAMPLED: u8 = 1;
/// Bit of the flags: the trace id is random in its last seven bytes (3.2.2.5.2).
const RANDOM: u8 = 2;

/// A valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The whole trace; never all zero.
    pub trace_id: [u8; 16],
    /// The caller's span; never all zero.
    pub parent_id: [u8; 8],
    /// The bits that version 00 knows.
    pub flags: u8,
}

impl TraceParent {
    /// Reads a field value (3.2.2). Of a version that is not known, what version 00 defines is taken
    /// (4.3 "Versioning of traceparent").
    pub fn parse(value: &[u8]) -> Option<Self> {
        let [version] = bytes(value.get(..2)?)?;
        let separated = [2, 35, 52].iter().all(|&at| value.get(at) == Some(&b'-'));
        let length_fits = match version {
            0 => value.len() == PARENT_LENGTH,
            0xff => false,
            _ => value.len() == PARENT_LENGTH || value.get(PARENT_LENGTH) == Some(&b'-'),
        };
        if !separated || !length_fits {
            return None;
        }
        let (trace_id, parent_id) = (bytes(&value[3..35])?, bytes(&value[36..52])?);
        let [flags] = bytes(&value[53..55])?;
        let legal = trace_id != [0; 16] && parent_id != [0; 8];
        legal.then_some(TraceParent { trace_id, parent_id, flags: flags & (SAMPLED | RANDOM) })
    }

    /// The field value, in version 00.
    pub fn to_bytes(self) -> [u8; PARENT_LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex(&self.trace_id, &mut text[3..35]);
        hex(&self.parent_id, &mut text[36..52]);
        hex(&[self.flags], &mut text[53..55]);
        text
    }

    /// The trace id as logs show it.
    pub fn trace_id_hex(&self) -> [u8; 32] {
        let mut text = [0; 32];
        hex(&self.trace_id, &mut text);
        text
    }

    /// The caller may have recorded this trace.
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Lower-case hexadecimal digits as bytes; None if there is anything else.
fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// What goes on to the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// As received; the field itself can stay as it is.
    pub parent: TraceParent,
    /// `tracestate` in one line; none if there is none that is legal.
    pub state: Option<Vec<u8>>,
}

/// Reads every `traceparent` and every `tracestate` line of a request. None: neither may be handed on.
pub fn carried<'a>(
    mut parents: impl Iterator<Item = &'a [u8]>,
    states: impl Iterator<Item = &'a [u8]>,
) -> Option<Carried> {
    // More than one is as good as none (3.2, "if the vendor failed to parse").
    let received = parents.next().filter(|_| parents.next().is_none());
    let parent = received.and_then(TraceParent::parse)?;
    Some(Carried { parent, state: state(states) })
}

/// All lines as one list without its empty members (3.3.1). None if there is nothing in it, or anything that
/// is not legal: then the whole is dropped, while the trace goes on.
fn state<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    let mut keys: Vec<&[u8]> = Vec::new();
    for member in lines.flat_map(|line| line.split(|&byte| byte == b',')) {
        let member = trimmed(member);
        if member.is_empty() {
            continue;
        }
        let key = &member[..member.iter().position(|&byte| byte == b'=')?];
        let legal = legal_key(key) && legal_value(&member[key.len() + 1..]) && !keys.contains(&key);
        if !legal || keys.len() == STATE_MEMBERS || joined.len() + member.len() >= STATE_MAX {
            return None;
        }
        keys.push(key);
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(member);
    }
    (!joined.is_empty()).then_some(joined)
}

/// Without optional white space (RFC 9110 5.6.3).
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `simple-key` or `tenant@system` (3.3.1.3.1).
fn legal_key(key: &[u8]) -> bool {
    let within = |part: &[u8], longest: usize| {
        part.len() <= longest
            && part.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let first = |part: &[u8]| part.first().copied().unwrap_or(b' ');
    match key.iter().position(|&byte| byte == b'@') {
        None => first(key).is_ascii_lowercase() && within(key, 256),
        Some(at) => {
            let (tenant, system) = (&key[..at], &key[at + 1..]);
            let begins = first(tenant).is_ascii_lowercase() || first(tenant).is_ascii_digit();
            begins && within(tenant, 241) && first(system).is_ascii_lowercase() && within(system, 14)
        }
    }
}

/// Up to 256 printable characters, without "," and "=" and not ending in a space (3.3.1.3.2). The member was
/// trimmed before.
fn legal_value(value: &[u8]) -> bool {
    let legal = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    (1..=256).contains(&value.len()) && value.iter().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(parents: &[&str], states: &[&str]) -> Option<Carried> {
        let lines = |lines: &'_ [&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>();
        let (parents, states) = (lines(parents), lines(states));
        carried(parents.iter().map(Vec::as_slice), states.iter().map(Vec::as_slice))
    }

    fn joined(states: &[&str]) -> Option<String> {
        read(&[VALID], states)?.state.map(|state| String::from_utf8(state).unwrap())
    }

    #[test]
    fn a_valid_parent_is_read_and_written_back() {
        let parent = TraceParent::parse(VALID.as_bytes()).unwrap();
        assert!(parent.sampled());
        assert_eq!(parent.to_bytes(), VALID.as_bytes());
        assert_eq!(&parent.trace_id_hex(), b"0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn what_is_not_exactly_a_parent_is_refused() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let zeros = "0".repeat(32);
        let bad = [
            String::new(),
            "00".into(),
            VALID.to_uppercase(),
            format!("ff-{trace}-{span}-01"),
            format!("0-{trace}-{span}-01"),
            format!("000-{trace}-{span}-01"),
            format!(".0-{trace}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-{}-01", &zeros[..16]),
            format!("00-{}-{span}-01", &trace[1..]),
            format!("00-{trace}0-{span}-01"),
            format!("00-{}.-{span}-01", &trace[1..]),
            format!("00-{trace}-{}-01", &span[1..]),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}-.1"),
            format!("00-{trace}-{span}-001"),
            format!("00-{trace}-{span}-01-"),
            format!("00-{trace}-{span}-01-more"),
            format!("00_{trace}_{span}_01"),
            format!("cc-{trace}-{span}-01.more"),
            format!(" {VALID}"),
            format!("00-{trace}-{span}-\u{e9}"),
        ];
        for value in bad {
            assert_eq!(TraceParent::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let (_, rest) = VALID.split_at(2);
        for value in [format!("cc{rest}"), format!("cc{rest}-what-comes-later")] {
            let parent = TraceParent::parse(value.as_bytes()).unwrap();
            assert_eq!(parent.to_bytes(), VALID.as_bytes());
        }
        let unknown_bits = TraceParent::parse(VALID.replace("-01", "-ff").as_bytes()).unwrap();
        assert_eq!(unknown_bits.flags, SAMPLED | RANDOM);
    }

    #[test]
    fn what_is_valid_is_carried_and_nothing_is_begun() {
        let carried = read(&[VALID], &["a=1"]).unwrap();
        assert_eq!(carried.parent.to_bytes(), VALID.as_bytes());
        assert_eq!(carried.state.as_deref(), Some(&b"a=1"[..]));
        for parents in [&[][..], &["nonsense"], &[VALID, VALID]] {
            assert_eq!(read(parents, &["a=1"]), None);
        }
    }

    #[test]
    fn lines_of_state_are_joined_in_order_without_empty_members() {
        assert_eq!(joined(&["a=1", "b=2,c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(joined(&[" a=1 \t,\t b=2", "", " , c=3,"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(joined(&["a= in side"]).as_deref(), Some("a= in side"));
        assert_eq!(joined(&[]), None);
        assert_eq!(joined(&["", " "]), None);
    }

    #[test]
    fn keys_and_values_follow_the_grammar() {
        let (long, tenant, system) = ("k".repeat(256), "t".repeat(241), "s".repeat(14));
        let all = "a0_-*/=!\"#$%&'()*+-./0123456789:;<>?@[\\]^_`{|}~";
        let good = [all.into(), format!("{long}=1"), format!("{tenant}@{system}=1"), "0a@b=1".into()];
        for member in good {
            assert_eq!(joined(&[&member]).as_deref(), Some(&*member));
        }
        let bad = [
            "a", "=1", "a=", "a=1=2", "A=1", "0a=1", "a b=1", "a =1", "a@=1", "@a=1", "a@@b=1", "a@b@c=1",
            "a@0b=1", "a=\u{e9}", "a=\u{7f}", "a.b=1", "a=1,a=2",
        ];
        let too_long = [
            format!("{long}k=1"),
            format!("{tenant}t@s=1"),
            format!("t@{system}s=1"),
            format!("a={}", "v".repeat(257)),
        ];
        for member in bad.into_iter().chain(too_long.iter().map(String::as_str)) {
            assert_eq!(joined(&["ok=1", member]), None, "{member}");
        }
    }

    #[test]
    fn state_is_bounded_in_members_and_bytes() {
        let members = |count: usize, length: usize| {
            let value = "v".repeat(length);
            (0..count).map(|n| format!("k{n}={value}")).collect::<Vec<_>>().join(",")
        };
        assert!(joined(&[&members(32, 1)]).is_some());
        assert_eq!(joined(&[&members(33, 1)]), None);
        assert!(joined(&[&members(15, 256)]).is_some());
        assert_eq!(joined(&[&members(32, 256)]), None);
    }
}
