//! Chunked bodies and the verdict on each.

use super::*;
use crate::http::fields::Fields;

const TRAILERS: HeadLimits = HeadLimits { bytes: 256, fields: 4 };

/// A body: its data, its trailers, and what follows it.
type Body = (Vec<u8>, Fields, Vec<u8>);

/// Decodes a body that arrives in pieces of this size. None while it is not complete.
pub(super) fn decode(body: &[u8], piece: usize) -> Result<Option<Body>, BadChunk> {
    let mut decoder = ChunkedDecoder::new(TRAILERS);
    let mut data = Vec::new();
    let mut at = 0;
    let mut arrived = 0;
    while at < body.len() && !decoder.is_done() {
        if at == arrived {
            arrived = (arrived + piece).min(body.len());
        }
        let decoded = decoder.decode(&body[at..arrived])?;
        assert!(decoded.consumed > 0 && decoded.data.end <= decoded.consumed);
        assert_eq!(decoded.done, decoder.is_done());
        data.extend_from_slice(&body[at..][decoded.data]);
        at += decoded.consumed;
    }
    Ok(decoder.is_done().then(|| (data, decoder.trailers().clone(), body[at..].to_vec())))
}

fn data(body: &str) -> Result<Option<String>, BadChunk> {
    let whole = decode(body.as_bytes(), usize::MAX >> 1);
    for piece in 1..body.len().min(9) {
        assert_eq!(decode(body.as_bytes(), piece), whole, "{} by {piece}", body.escape_debug());
    }
    whole.map(|read| read.map(|(data, _, _)| String::from_utf8(data).unwrap()))
}

#[test]
fn chunks_are_joined_whatever_their_sizes_and_extensions() {
    let cases = [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
        ("1;a\r\nx\r\n0;b\r\n\r\n", "x"),
        ("1;a=b;c;d=e\r\nx\r\n0\r\n\r\n", "x"),
        ("1;a=\"b; \\\"c\\\" \\\\\t\"\r\nx\r\n0\r\n\r\n", "x"),
        ("1;a=\"\";b\r\nx\r\n0\r\n\r\n", "x"),
        ("1;a=\"ä\"\r\nx\r\n0\r\n\r\n", "x"),
    ];
    for (body, expected) in cases {
        assert_eq!(data(body), Ok(Some(expected.to_owned())), "{}", body.escape_debug());
    }
}

#[test]
fn a_body_is_not_complete_before_its_last_byte() {
    let body = "5;a=\"b\"\r\nhello\r\n0;c\r\nX: y\r\n\r\n";
    for end in 0..body.len() {
        assert_eq!(data(&body[..end]), Ok(None), "{}", body[..end].escape_debug());
    }
    assert_eq!(data(body), Ok(Some("hello".to_owned())));
}

#[test]
fn what_is_not_exactly_a_chunk_is_refused() {
    let cases = [
        ("\r\n", BadChunk::Size),
        (";a\r\n", BadChunk::Size),
        (" 5\r\nhello", BadChunk::Size),
        ("5 \r\nhello", BadChunk::Size),
        ("5 ;a\r\nhello", BadChunk::Size),
        ("\t5\r\nhello", BadChunk::Size),
        ("+5\r\nhello", BadChunk::Size),
        ("-5\r\nhello", BadChunk::Size),
        ("0x5\r\nhello", BadChunk::Size),
        ("5h\r\nhello", BadChunk::Size),
        ("5,5\r\nhello", BadChunk::Size),
        ("5\0\r\nhello", BadChunk::Size),
        ("5\nhello", BadChunk::Size),
        ("00000000000000005\r\nhello", BadChunk::Size),
        ("fffffffffffffffff\r\n", BadChunk::Size),
        ("５\r\nhello", BadChunk::Size),
        ("5\rhello", BadChunk::LineEnd),
        ("5\r\r\nhello", BadChunk::LineEnd),
        ("5\r\nhello\n0\r\n\r\n", BadChunk::LineEnd),
        ("5\r\nhello\r0\r\n\r\n", BadChunk::LineEnd),
        ("5\r\nhello0\r\n\r\n", BadChunk::LineEnd),
        ("5\r\nhello!\r\n0\r\n\r\n", BadChunk::LineEnd),
        ("4\r\nhello\r\n0\r\n\r\n", BadChunk::LineEnd),
        ("6\r\nhello\r\n0\r\n\r\n", BadChunk::LineEnd),
        ("0\r\n\n", BadChunk::LineEnd),
        ("0\r\nX: y\n\r\n", BadChunk::LineEnd),
        ("1;\r\nx", BadChunk::Extension),
        ("1; a\r\nx", BadChunk::Extension),
        ("1;a \r\nx", BadChunk::Extension),
        ("1;a =b\r\nx", BadChunk::Extension),
        ("1;a=\r\nx", BadChunk::Extension),
        ("1;a= b\r\nx", BadChunk::Extension),
        ("1;=b\r\nx", BadChunk::Extension),
        ("1;;a\r\nx", BadChunk::Extension),
        ("1;a\nx\r\n", BadChunk::Extension),
        ("1;a=\"b\r\nx", BadChunk::Extension),
        ("1;a=\"b\nc\"\r\nx", BadChunk::Extension),
        ("1;a=\"b\\\r\n\"\r\nx", BadChunk::Extension),
        ("1;a=\"b\"c\r\nx", BadChunk::Extension),
        ("1;a=\"\0\"\r\nx", BadChunk::Extension),
        ("1;a\0\r\nx", BadChunk::Extension),
        ("1;ä\r\nx", BadChunk::Extension),
        ("0\r\nX : y\r\n\r\n", BadChunk::Trailer),
        ("0\r\n: y\r\n\r\n", BadChunk::Trailer),
        ("0\r\nX: a\r\n b\r\n\r\n", BadChunk::Trailer),
        ("0\r\nX: a\0\r\n\r\n", BadChunk::Trailer),
        ("0\r\nX: a\rb\r\n\r\n", BadChunk::Trailer),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", BadChunk::Trailer),
    ];
    for (body, expected) in cases {
        assert_eq!(data(body), Err(expected), "{}", body.escape_debug());
    }
}

#[test]
fn trailers_are_kept_but_those_that_may_not_be_are_dropped() {
    let body = "0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nx:\r\nTransfer_Encoding: chunked\r\n\r\nnext";
    let (_, trailers, rest) = decode(body.as_bytes(), 3).unwrap().unwrap();
    let seen: Vec<_> = trailers.iter().collect();
    assert_eq!(seen, [("grpc-status", b"0".as_slice()), ("x", b"")]);
    assert_eq!(rest, b"next");
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let extended = |length: usize| data(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(length)));
    assert_eq!(extended(1023), Ok(Some("x".to_owned())));
    assert_eq!(extended(1024), Err(BadChunk::ExtensionTooLong));
    let trailers = |fields: &str| data(&format!("0\r\n{fields}\r\n"));
    assert_eq!(trailers("a: b\r\n".repeat(4).as_str()), Ok(Some(String::new())));
    assert_eq!(trailers("a: b\r\n".repeat(5).as_str()), Err(BadChunk::TrailersTooLarge));
    assert_eq!(trailers(&format!("a: {}\r\n", "x".repeat(249))), Ok(Some(String::new())));
    assert_eq!(trailers(&format!("a: {}\r\n", "x".repeat(250))), Err(BadChunk::TrailersTooLarge));
    assert_eq!(decode(format!("0\r\n{}", "x".repeat(257)).as_bytes(), 7), Err(BadChunk::TrailersTooLarge));
}

#[test]
fn a_decoder_serves_one_body_after_the_other() {
    let mut decoder = ChunkedDecoder::new(TRAILERS);
    let body = b"1;a=b\r\nx\r\n0\r\nA: b\r\n\r\n";
    for _ in 0..100 {
        let decoded = decoder.decode(body).unwrap();
        assert_eq!(decoded, Decoded { consumed: body.len(), data: 7..8, done: true });
        assert_eq!(decoder.trailers().len(), 1);
        assert_eq!(decoder.decode(b"0\r\n\r\n").unwrap().consumed, 0);
        decoder.reset();
        assert!(!decoder.is_done() && decoder.trailers().is_empty());
    }
}
