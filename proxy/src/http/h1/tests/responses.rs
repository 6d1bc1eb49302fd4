//! Responses and the verdict on each.

use super::BadResponse as Bad;
use super::*;

/// Framing, whether the connection persists, whether it becomes a tunnel.
type Verdict = Result<(Framing, bool, bool), Bad>;

fn verdict(text: &str, to: &Method) -> Verdict {
    response(text.as_bytes(), to).map(|read| {
        let (_, parsed) = read.expect("the head is complete");
        (parsed.framing, parsed.keep_alive, parsed.tunnel)
    })
}

const UNTIL_CLOSE: Verdict = Ok((Framing::UntilClose, false, false));
const CHUNKED: Verdict = Ok((Framing::Chunked, true, false));

fn length(length: u64) -> Verdict {
    Ok((Framing::Length(length), true, false))
}

fn none(keep_alive: bool) -> Verdict {
    Ok((Framing::None, keep_alive, false))
}

#[test]
fn a_status_line_is_version_status_and_perhaps_a_reason() {
    let cases = [
        ("HTTP/1.1 200 OK", UNTIL_CLOSE),
        ("HTTP/1.0 200 OK", UNTIL_CLOSE),
        ("HTTP/1.1 200 ", UNTIL_CLOSE),
        ("HTTP/1.1 200", UNTIL_CLOSE),
        ("HTTP/1.1 599 Tout va très bien\t!", UNTIL_CLOSE),
        ("HTTP/1.1 099 OK", Err(Bad::Status)),
        ("HTTP/1.1 600 OK", Err(Bad::Status)),
        ("HTTP/1.1 20 OK", Err(Bad::Status)),
        ("HTTP/1.1 2000 OK", Err(Bad::StatusLine)),
        ("HTTP/1.1 20x OK", Err(Bad::Status)),
        ("HTTP/1.1 +20 OK", Err(Bad::Status)),
        ("HTTP/1.1  200 OK", Err(Bad::Status)),
        ("HTTP/1.1 ", Err(Bad::Status)),
        ("HTTP/1.1", Err(Bad::StatusLine)),
        ("HTTP/1.1\t200 OK", Err(Bad::StatusLine)),
        ("HTTP/1.1 200\tOK", Err(Bad::StatusLine)),
        ("HTTP/1.1 200 a\0b", Err(Bad::StatusLine)),
        ("HTTP/1.1 200 a\rb", Err(Bad::StatusLine)),
        ("HTTP/2.0 200 OK", Err(Bad::Version)),
        ("HTTP/1.2 200 OK", Err(Bad::Version)),
        ("http/1.1 200 OK", Err(Bad::StatusLine)),
        ("ICY 200 OK", Err(Bad::StatusLine)),
        ("<html>", Err(Bad::StatusLine)),
        ("", Err(Bad::StatusLine)),
        ("HTTP/1.1 200 OK\nX: y", Err(Bad::BareLf)),
        ("HTTP/1.1 200 OK\r\nX : y", Err(Bad::FieldName)),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b", Err(Bad::Folding)),
        ("HTTP/1.1 200 OK\r\nX: a\0", Err(Bad::FieldValue)),
        ("HTTP/1.1 200 OK\r\nConnection: a b", Err(Bad::ConnectionOption)),
    ];
    for (line, expected) in cases {
        let text = format!("{line}\r\n\r\n");
        assert_eq!(verdict(&text, &Method::Get), expected, "{}", text.escape_debug());
    }
}

#[test]
fn a_body_is_delimited_by_status_method_and_fields() {
    use Method::{Connect, Get, Head};
    let cases = [
        (Get, "200", "Content-Length: 5", length(5)),
        (Get, "200", "Content-Length: 5\r\nContent-Length: 5", length(5)),
        (Get, "200", "Content-Length: 0", length(0)),
        (Get, "200", "Transfer-Encoding: Chunked", CHUNKED),
        (Get, "200", "Transfer-Encoding: chunked\r\nConnection: close", Ok((Framing::Chunked, false, false))),
        (Get, "200", "X: y", UNTIL_CLOSE),
        (Get, "200", "Connection: keep-alive", UNTIL_CLOSE),
        (Get, "404", "Content-Length: 5\r\nConnection: close", Ok((Framing::Length(5), false, false))),
        (Head, "200", "Content-Length: 5", none(true)),
        (Head, "200", "Transfer-Encoding: chunked", none(true)),
        (Head, "200", "X: y", none(true)),
        (Get, "304", "Content-Length: 5", none(true)),
        (Get, "304", "Transfer-Encoding: chunked", none(true)),
        (Get, "204", "X: y", none(true)),
        (Get, "204", "Content-Length: 0", none(true)),
        (Get, "204", "Content-Length: 5", none(false)),
        (Get, "204", "Transfer-Encoding: chunked", none(false)),
        (Get, "100", "X: y", none(true)),
        (Get, "103", "Content-Length: 5", none(false)),
        (Get, "101", "X: y", none(true)),
        (Get, "101", "Connection: upgrade\r\nUpgrade: websocket", Ok((Framing::None, true, true))),
        (Connect, "200", "X: y", Ok((Framing::None, true, true))),
        (Connect, "200", "Transfer-Encoding: chunked", Ok((Framing::None, false, true))),
        (Connect, "407", "Content-Length: 5", length(5)),
        (Get, "200", "Content-Length: 5\r\nContent-Length: 6", Err(Bad::LengthRepeated)),
        (Get, "200", "Content-Length: 5, 5", Err(Bad::LengthInvalid)),
        (Get, "200", "Content-Length: -1", Err(Bad::LengthInvalid)),
        (Head, "200", "Content-Length: x", Err(Bad::LengthInvalid)),
        (Get, "304", "Content-Length: 5\r\nContent-Length: 6", Err(Bad::LengthRepeated)),
        (Get, "200", "Content-Length: 5\r\nTransfer-Encoding: chunked", Err(Bad::CodingWithLength)),
        (Get, "200", "Transfer-Encoding: gzip, chunked", Err(Bad::CodingUnknown)),
        (Get, "200", "Transfer-Encoding: br, chunked", Err(Bad::CodingUnknown)),
        (Get, "200", "Transfer-Encoding: gzip", Err(Bad::CodingInvalid)),
        (Get, "200", "Transfer-Encoding: identity", Err(Bad::CodingInvalid)),
        (Get, "200", "Transfer-Encoding: chunked, chunked", Err(Bad::CodingInvalid)),
        (Get, "200", "Transfer-Encoding: \x0bchunked", Err(Bad::FieldValue)),
    ];
    for (to, status, fields, expected) in cases {
        let text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n");
        assert_eq!(verdict(&text, &to), expected, "{to:?} {}", text.escape_debug());
    }
}

#[test]
fn an_old_server_keeps_the_connection_only_if_it_says_so() {
    let cases = [
        ("Content-Length: 5", Ok((Framing::Length(5), false, false))),
        ("Content-Length: 5\r\nConnection: keep-alive", length(5)),
        ("Transfer-Encoding: chunked", Err(Bad::CodingInVersion10)),
    ];
    for (fields, expected) in cases {
        let text = format!("HTTP/1.0 200 OK\r\n{fields}\r\n\r\n");
        assert_eq!(verdict(&text, &Method::Get), expected, "{}", text.escape_debug());
    }
}

#[test]
fn interim_heads_come_before_the_final_one_in_the_same_buffer() {
    let text = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (mut head, mut scan) = (ResponseHead::default(), Scan::default());
    let first = parse_response(text, &mut scan, LIMITS, &Method::Get, &mut head).unwrap().unwrap();
    assert!(head.is_interim() && head.fields.contains("link"));
    let rest = &text[first.head_len..];
    let last = parse_response(rest, &mut scan, LIMITS, &Method::Get, &mut head).unwrap().unwrap();
    assert!(!head.is_interim() && !head.fields.contains("link"));
    assert_eq!((head.status, last.framing, last.head_len), (200, Framing::Length(0), rest.len()));
}

#[test]
fn heads_are_bounded() {
    let read = |text: &str, limits| {
        let (mut head, mut scan) = (ResponseHead::default(), Scan::default());
        parse_response(text.as_bytes(), &mut scan, limits, &Method::Get, &mut head).map(|read| read.is_some())
    };
    let text = "HTTP/1.1 200 OK\r\na: b\r\nc: d\r\n\r\n";
    assert_eq!(read(text, HeadLimits { bytes: text.len(), fields: 2 }), Ok(true));
    assert_eq!(read(text, HeadLimits { bytes: text.len() - 1, fields: 2 }), Err(Bad::HeadTooLarge));
    assert_eq!(read(text, HeadLimits { bytes: text.len(), fields: 1 }), Err(Bad::TooManyFields));
    assert_eq!(Bad::HeadTooLarge.reason(), "head_too_large");
}
