//! Requests and the verdict on each: what is framed how, and what is refused for which reason.

use super::BadRequest as Bad;
use super::*;
use crate::http::head::{METHOD_LONGEST, Scheme, Version};

pub(super) type Verdict = Result<Framing, Bad>;

/// Reads one whole request; the verdict of a table is compared with this.
pub(super) fn verdict(text: &str) -> Verdict {
    request(text.as_bytes()).map(|read| read.expect("the head is complete").1.framing)
}

pub(super) fn check(cases: &[(&str, Verdict)], whole: impl Fn(&str) -> String) {
    for (case, expected) in cases {
        let text = whole(case);
        assert_eq!(verdict(&text), *expected, "{}", text.escape_debug());
    }
}

pub(super) const NONE: Verdict = Ok(Framing::None);

#[test]
fn a_first_line_is_method_target_and_version_with_one_space_between() {
    let cases = [
        ("GET / HTTP/1.1", NONE),
        ("GET / HTTP/1.0", NONE),
        ("get / HTTP/1.1", NONE),
        ("M-SEARCH / HTTP/1.1", NONE),
        ("!#$%&'*+-.^_`|~09 / HTTP/1.1", NONE),
        ("\r\nGET / HTTP/1.1", NONE),
        ("\r\n\r\nGET / HTTP/1.1", NONE),
        ("\r\n\r\n\r\nGET / HTTP/1.1", Err(Bad::RequestLine)),
        ("\nGET / HTTP/1.1", Err(Bad::BareLf)),
        (" GET / HTTP/1.1", Err(Bad::Method)),
        ("\tGET / HTTP/1.1", Err(Bad::Method)),
        (" / HTTP/1.1", Err(Bad::Method)),
        ("GET  / HTTP/1.1", Err(Bad::Version)),
        ("GET /  HTTP/1.1", Err(Bad::Version)),
        ("GET / HTTP/1.1 ", Err(Bad::Version)),
        ("GET / HTTP/1.1\t", Err(Bad::Version)),
        ("GET\t/ HTTP/1.1", Err(Bad::RequestLine)),
        ("GET\x0b/\x0bHTTP/1.1", Err(Bad::RequestLine)),
        ("GET /\tHTTP/1.1", Err(Bad::RequestLine)),
        ("GET / a HTTP/1.1", Err(Bad::Version)),
        ("GET /", Err(Bad::RequestLine)),
        ("GET", Err(Bad::RequestLine)),
        ("GET / ", Err(Bad::Version)),
        ("GET /\rHTTP/1.1", Err(Bad::RequestLine)),
        ("GET / HTTP/1.1\rX: y", Err(Bad::Version)),
        ("G\0T / HTTP/1.1", Err(Bad::Method)),
        ("G{T / HTTP/1.1", Err(Bad::Method)),
        ("GÉT / HTTP/1.1", Err(Bad::Method)),
        ("GET:/ / HTTP/1.1", Err(Bad::Method)),
    ];
    check(&cases, |line| format!("{line}\r\nHost: a\r\n\r\n"));
}

#[test]
fn only_versions_1_0_and_1_1_are_served() {
    let cases = [
        ("HTTP/1.1", NONE),
        ("HTTP/1.0", NONE),
        ("HTTP/0.9", Err(Bad::VersionUnsupported)),
        ("HTTP/1.2", Err(Bad::VersionUnsupported)),
        ("HTTP/2.0", Err(Bad::VersionUnsupported)),
        ("HTTP/9.9", Err(Bad::VersionUnsupported)),
        ("HTTP/1.10", Err(Bad::Version)),
        ("HTTP/01.1", Err(Bad::Version)),
        ("HTTP/1", Err(Bad::Version)),
        ("HTTP/11", Err(Bad::Version)),
        ("HTTP/1,1", Err(Bad::Version)),
        ("HTTP/ 1.1", Err(Bad::Version)),
        ("HTTP/a.b", Err(Bad::Version)),
        ("HTTP/-.1", Err(Bad::Version)),
        ("http/1.1", Err(Bad::Version)),
        ("HTTPS/1.1", Err(Bad::Version)),
        ("ICE/1.0", Err(Bad::Version)),
        ("RTSP/1.0", Err(Bad::Version)),
        ("HTTP\\1.1", Err(Bad::Version)),
        ("", Err(Bad::Version)),
    ];
    check(&cases, |version| format!("GET / {version}\r\nHost: a\r\n\r\n"));
}

#[test]
fn a_field_line_is_a_token_a_colon_and_a_value_without_control_bytes() {
    let cases = [
        ("X: y", NONE),
        ("X:y", NONE),
        ("X:", NONE),
        ("X: \t y \t ", NONE),
        ("X: a\tb  c", NONE),
        ("X: ä", NONE),
        ("!#$%&'*+-.^_`|~9: y", NONE),
        ("X : y", Err(Bad::FieldName)),
        ("X\t: y", Err(Bad::FieldName)),
        ("X", Err(Bad::FieldName)),
        (": y", Err(Bad::FieldName)),
        ("X Y: z", Err(Bad::FieldName)),
        ("X\0: y", Err(Bad::FieldName)),
        ("\x01X: y", Err(Bad::FieldName)),
        ("X\x0b: y", Err(Bad::FieldName)),
        ("Ä: y", Err(Bad::FieldName)),
        ("X\u{a0}: y", Err(Bad::FieldName)),
        ("(X): y", Err(Bad::FieldName)),
        ("X;: y", Err(Bad::FieldName)),
        ("\rX: y", Err(Bad::FieldName)),
        (" X: y", Err(Bad::Folding)),
        ("\tX: y", Err(Bad::Folding)),
        ("X: a\r\n b", Err(Bad::Folding)),
        ("X: a\r\n\tTransfer-Encoding: chunked", Err(Bad::Folding)),
        ("X:\r\n ", Err(Bad::Folding)),
        ("X: a\0b", Err(Bad::FieldValue)),
        ("X: a\x01", Err(Bad::FieldValue)),
        ("X: \x0bchunked", Err(Bad::FieldValue)),
        ("X: a\x7f", Err(Bad::FieldValue)),
        ("X: a\rb", Err(Bad::FieldValue)),
        ("X: a\r", Err(Bad::FieldValue)),
        ("X: a\rTransfer-Encoding: chunked", Err(Bad::FieldValue)),
        ("X: a\nY: b", Err(Bad::BareLf)),
        ("X: a\n", Err(Bad::BareLf)),
        ("X: a\n\n", Err(Bad::BareLf)),
    ];
    check(&cases, |line| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
}

#[test]
fn a_head_is_read_into_its_parts() {
    let text =
        b"PUT HTTP://Example.COM:8080/a/b?c=d?e HTTP/1.0\r\nX-One: 1\r\nHost: EXAMPLE.com:8080\r\n\r\nbody";
    let (head, parsed) = request(text).unwrap().unwrap();
    assert_eq!(
        (&head.method, head.version, head.scheme),
        (&Method::Put, Version::Http10, Some(Scheme::Http))
    );
    assert_eq!(head.authority(), "example.com:8080");
    assert_eq!(head.path_and_query(), "/a/b?c=d?e");
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d?e")));
    assert_eq!(head.fields.iter().collect::<Vec<_>>(), [("x-one", b"1".as_slice())]);
    assert_eq!(&text[parsed.head_len..], b"body");
    let (head, _) = request(b"GET /a HTTP/1.1\r\nHost: B\r\n\r\n").unwrap().unwrap();
    assert_eq!((head.scheme, head.authority(), head.query()), (None, "b", None));
    let (head, _) = request(b"PURGE /a? HTTP/1.1\r\nHost:\r\n\r\n").unwrap().unwrap();
    assert_eq!((head.method.as_str(), head.authority(), head.query()), ("PURGE", "", Some("")));
}

#[test]
fn one_head_after_another_reuses_everything_and_inherits_nothing() {
    let first =
        b"PUT https://a/b?c HTTP/1.0\r\nHost: a\r\nTransfer_Encoding: x\r\nX: y\r\nConnection: close\r\n\r\n";
    let second = b"GET /d HTTP/1.1\r\nHost: e\r\n\r\n";
    let text = [first.as_slice(), second].concat();
    let (mut head, mut scan) = (RequestHead::new(), Scan::default());
    let parsed = parse_request(&text, &mut scan, LIMITS, &mut head).unwrap().unwrap();
    assert_eq!(parsed.head_len, first.len());
    assert!(scan.is_empty() && !scan.has_first_line());
    let parsed = parse_request(&text[parsed.head_len..], &mut scan, LIMITS, &mut head).unwrap().unwrap();
    let (alone, parsed_alone) = request(second).unwrap().unwrap();
    assert_eq!((head, parsed), (alone, parsed_alone));
}

#[test]
fn heads_are_bounded_in_bytes_and_fields_and_methods_in_length() {
    let limits = HeadLimits { bytes: 64, fields: 2 };
    let read = |text: &str| {
        parse_request(text.as_bytes(), &mut Scan::default(), limits, &mut RequestHead::new())
            .map(|parsed| parsed.map(|parsed| parsed.head_len))
    };
    let exact = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(64 - 27));
    assert_eq!((exact.len(), read(&exact)), (64, Ok(Some(64))));
    let longer = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65 - 27));
    assert_eq!(read(&longer), Err(Bad::HeadTooLarge));
    assert_eq!(read(&longer[..63]), Ok(None));
    assert_eq!(read(&longer[..64]), Err(Bad::HeadTooLarge));
    assert_eq!(read(&"G".repeat(64)), Err(Bad::RequestLineTooLong));
    assert_eq!(read(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64))), Err(Bad::RequestLineTooLong));
    assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\nb:\r\n\r\n"), Ok(Some(31)));
    assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\nb:\r\nc:\r\n\r\n"), Err(Bad::TooManyFields));
    let method = |length: usize| verdict(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length)));
    assert_eq!(method(METHOD_LONGEST), NONE);
    assert_eq!(method(METHOD_LONGEST + 1), Err(Bad::MethodTooLong));
}

#[test]
fn what_cannot_become_a_request_is_refused_at_its_first_bytes() {
    for noise in [b"\x16\x03\x01".as_slice(), b"\0", b"\r\r", b"{\"a\"", b" ", b"\x80", b"\r\n\x16"] {
        assert_eq!(request(noise), Err(Bad::RequestLine), "{}", shown(noise));
    }
    for begin in [b"".as_slice(), b"\r", b"\r\n", b"\r\n\r", b"P"] {
        assert_eq!(request(begin), Ok(None), "{}", shown(begin));
    }
}

#[test]
fn every_reason_has_a_status_that_answers_it() {
    let cases = [
        (Bad::RequestLineTooLong, 414, "request_line_too_long"),
        (Bad::Expectation, 417, "expectation"),
        (Bad::HeadTooLarge, 431, "head_too_large"),
        (Bad::TooManyFields, 431, "too_many_fields"),
        (Bad::CodingUnknown, 501, "coding_unknown"),
        (Bad::MethodTooLong, 501, "method_too_long"),
        (Bad::VersionUnsupported, 505, "version_unsupported"),
        (Bad::CodingWithLength, 400, "coding_with_length"),
        (Bad::HostMissing, 400, "host_missing"),
        (Bad::BareLf, 400, "bare_lf"),
    ];
    for (bad, status, reason) in cases {
        assert_eq!((bad.status(), bad.reason(), bad.to_string().as_str()), (status, reason, reason));
    }
}
