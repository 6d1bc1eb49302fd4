//! What holds for every message, tried on messages that chance makes. A failure prints the message and
//! the seed that makes it again.

use proptest::collection::vec;
use proptest::prelude::*;

use super::chunks::decode;
use super::*;
use crate::http::fields::Fields;
use crate::http::known::Known;

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"
}

/// Names that mean something as often as names that do not.
fn name() -> impl Strategy<Value = String> {
    let known: Vec<String> = Known::ALL.iter().map(|known| known.as_str().to_owned()).collect();
    prop_oneof![token(), proptest::sample::select(known)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let visible = prop_oneof![0x21..=0x7e_u8, 0x80..=0xff_u8];
    let inner = prop_oneof![4 => visible.clone(), 1 => Just(b' '), 1 => Just(b'\t')];
    (vec(visible, 0..2), vec(inner, 0..16)).prop_map(|(last, mut value)| {
        value.extend_from_slice(&last);
        crate::http::syntax::trim(&value).to_vec()
    })
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![Just(Framing::None), any::<u64>().prop_map(Framing::Length), Just(Framing::Chunked)]
}

/// Fields that a proxy may send on: without those that frame or are meant for one connection.
fn end_to_end() -> impl Strategy<Value = Fields> {
    vec((name(), value()), 0..12).prop_map(|list| {
        let mut fields = Fields::new();
        for (name, value) in list {
            assert!(fields.push(&name, &value));
        }
        for known in [Known::Host, Known::ContentLength, Known::Expect] {
            fields.remove_known(known);
        }
        fields.remove_known(Known::Connection);
        fields.strip_hop_by_hop(false);
        fields
    })
}

prop_compose! {
    fn any_request()(
        method in prop_oneof![Just("GET".to_owned()), token()],
        path in "/[a-z0-9/._~:@!$&'()*+,;=-]{0,24}(%[0-9a-f]{2}){0,2}(\\?[a-z0-9/?%\"|=&]{0,12})?",
        authority in "[a-z0-9.-]{1,12}(:[1-9][0-9]{0,3})?",
        fields in end_to_end(),
    ) -> RequestHead {
        let mut head = RequestHead::new();
        head.method = Method::parse(method.as_bytes()).unwrap();
        if head.method != Method::Connect {
            assert!(head.set_path_and_query(path.as_bytes()), "{path}");
        }
        assert!(head.set_authority(authority.as_bytes()), "{authority}");
        head.fields = fields;
        head
    }
}

/// Reads a request as its bytes arrive, in pieces of this size.
fn in_pieces(text: &[u8], piece: usize) -> Result<Option<(RequestHead, Parsed)>, BadRequest> {
    let (mut head, mut scan) = (RequestHead::new(), Scan::default());
    let mut arrived = 0;
    loop {
        if let Some(parsed) = parse_request(&text[..arrived], &mut scan, LIMITS, &mut head)? {
            return Ok(Some((head, parsed)));
        }
        if arrived == text.len() {
            return Ok(None);
        }
        arrived = (arrived + piece).min(text.len());
    }
}

/// Bytes that resemble a request enough to come far.
fn nearly_request() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"POST http://a/ HTTP/1.0\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: close, upgrade\r\n".to_vec()),
        Just(b"X: ".to_vec()),
        Just(b"\r\n".to_vec()),
        vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// Bytes that resemble a chunked body enough to come far.
fn nearly_chunked() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"5\r\nhello\r\n".to_vec()),
        Just(b"1;a=\"b\"\r\nx\r\n".to_vec()),
        Just(b"0\r\n".to_vec()),
        Just(b"A: b\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_request_that_was_written_reads_the_same(head in any_request(), framing in framing()) {
        let framing = if head.method == Method::Connect { Framing::None } else { framing };
        let mut out = Vec::new();
        write_request(&mut out, &head, framing, Connection::Implied);
        let (mut read, parsed) = request(&out).unwrap().expect("the head is complete");
        prop_assert_eq!((parsed.head_len, parsed.framing, parsed.keep_alive), (out.len(), framing, true));
        read.fields.strip_hop_by_hop(false);
        read.fields.remove_known(Known::ContentLength);
        let te = head.fields.get_known(Known::Te).is_some();
        prop_assert_eq!(read.fields.get_known(Known::Te).is_some(), te);
        read.fields.remove_known(Known::Te);
        let mut head = head;
        head.fields.remove_known(Known::Te);
        prop_assert_eq!(read, head);
    }

    #[test]
    fn a_response_that_was_written_reads_the_same(
        status in 200..=599_u16, fields in end_to_end(), framing in framing(),
    ) {
        let without_body = matches!(status, 204 | 304);
        let framing = match framing {
            _ if without_body => Framing::None,
            Framing::None => Framing::UntilClose,
            other => other,
        };
        let head = ResponseHead { status, fields, ..ResponseHead::default() };
        let mut out = Vec::new();
        write_response(&mut out, &head, framing, Connection::Implied);
        let (mut read, parsed) = response(&out, &Method::Get).unwrap().expect("the head is complete");
        prop_assert_eq!((parsed.head_len, parsed.framing), (out.len(), framing));
        prop_assert_eq!(parsed.keep_alive, framing != Framing::UntilClose);
        read.fields.strip_hop_by_hop(false);
        read.fields.remove_known(Known::ContentLength);
        prop_assert_eq!(read, head);
    }

    #[test]
    fn every_prefix_of_a_request_is_incomplete(head in any_request(), framing in framing()) {
        let framing = if head.method == Method::Connect { Framing::None } else { framing };
        let mut out = Vec::new();
        write_request(&mut out, &head, framing, Connection::Close);
        for end in 0..out.len() {
            prop_assert_eq!(request(&out[..end]), Ok(None), "{}", shown(&out[..end]));
        }
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_request_arrives(text in nearly_request(), piece in 1..20_usize) {
        prop_assert_eq!(in_pieces(&text, piece).ok(), request(&text).ok(), "{}", shown(&text));
    }

    #[test]
    fn what_is_accepted_is_sent_on_with_one_meaning(text in nearly_request()) {
        let Ok(Some((mut head, parsed))) = request(&text) else { return Ok(()) };
        head.fields.strip_hop_by_hop(false);
        let mut out = Vec::new();
        write_request(&mut out, &head, parsed.framing, Connection::Implied);
        prop_assert!(!out.iter().enumerate().any(|(at, &byte)| {
            (byte == b'\n') != (at > 0 && out[at - 1] == b'\r')
        }), "{}", shown(&out));
        let (read, again) = request(&out).unwrap().expect("the head is complete");
        prop_assert_eq!(again.framing, parsed.framing);
        prop_assert_eq!(&read.method, &head.method);
        prop_assert_eq!((read.authority(), read.path_and_query()), (head.authority(), head.path_and_query()));
    }

    #[test]
    fn bytes_of_any_kind_are_answered_not_suffered(bytes in vec(any::<u8>(), 0..200)) {
        for text in [bytes.clone(), [b"GET / HTTP/1.1\r\n".as_slice(), &bytes, b"\r\n\r\n"].concat()] {
            if let Ok(Some((_, parsed))) = request(&text) {
                prop_assert!(parsed.head_len <= text.len());
            }
        }
        if let Ok(Some((_, parsed))) = response(&bytes, &Method::Get) {
            prop_assert!(parsed.head_len <= bytes.len());
        }
        if let Ok(Some((data, _, rest))) = decode(&bytes, 1000) {
            prop_assert!(data.len() + rest.len() <= bytes.len());
        }
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_body_arrives(body in nearly_chunked(), piece in 1..20_usize) {
        prop_assert_eq!(decode(&body, piece), decode(&body, usize::MAX >> 1), "{}", shown(&body));
    }

    #[test]
    fn a_body_that_was_written_reads_the_same(
        chunks in vec(vec(any::<u8>(), 0..300), 0..6), trailer in value(), piece in 1..40_usize,
    ) {
        let mut trailers = Fields::new();
        trailers.push("x-checksum", &trailer);
        let mut out = Vec::new();
        chunks.iter().for_each(|chunk| write_chunk(&mut out, chunk));
        write_last_chunk(&mut out, &trailers);
        let (data, read, rest) = decode(&out, piece).unwrap().expect("the body is complete");
        prop_assert_eq!((data, read, rest), (chunks.concat(), trailers, Vec::new()));
    }
}
