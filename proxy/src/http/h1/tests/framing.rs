//! How requests are framed and what they do to their connection, and the verdict on each.

use super::BadRequest as Bad;
use super::requests::{NONE, Verdict, check, verdict};
use super::*;

const CHUNKED: Verdict = Ok(Framing::Chunked);

const fn length(length: u64) -> Verdict {
    Ok(Framing::Length(length))
}

/// Version and fields, and whether the connection persists, a 100 is awaited, a switch is asked for.
type Manners = (&'static str, &'static str, Result<(bool, bool, bool), Bad>);

#[test]
fn a_content_length_is_one_decimal_number() {
    let cases = [
        ("Content-Length: 0", length(0)),
        ("content-length:5", length(5)),
        ("CONTENT-LENGTH: \t5 \t", length(5)),
        ("Content-Length: 005", length(5)),
        ("Content-Length: 18446744073709551615", length(u64::MAX)),
        ("X-Content-Length: 5", NONE),
        ("Content_Length: 5", NONE),
        ("Content-Length: 18446744073709551616", Err(Bad::LengthInvalid)),
        ("Content-Length: 99999999999999999999999", Err(Bad::LengthInvalid)),
        ("Content-Length:", Err(Bad::LengthInvalid)),
        ("Content-Length: +5", Err(Bad::LengthInvalid)),
        ("Content-Length: -5", Err(Bad::LengthInvalid)),
        ("Content-Length: 0x5", Err(Bad::LengthInvalid)),
        ("Content-Length: 5.0", Err(Bad::LengthInvalid)),
        ("Content-Length: 5e1", Err(Bad::LengthInvalid)),
        ("Content-Length: 5 5", Err(Bad::LengthInvalid)),
        ("Content-Length: 5, 5", Err(Bad::LengthInvalid)),
        ("Content-Length: 5,6", Err(Bad::LengthInvalid)),
        ("Content-Length: ,5", Err(Bad::LengthInvalid)),
        ("Content-Length: \"5\"", Err(Bad::LengthInvalid)),
        ("Content-Length: 5;", Err(Bad::LengthInvalid)),
        ("Content-Length: ５", Err(Bad::LengthInvalid)),
        ("Content-Length: five", Err(Bad::LengthInvalid)),
        ("Content-Length: 5\x0b", Err(Bad::FieldValue)),
        ("Content-Length: 5\0", Err(Bad::FieldValue)),
        ("Content-Length : 5", Err(Bad::FieldName)),
        (" Content-Length: 5", Err(Bad::Folding)),
        ("Content-Length: 5\r\nContent-Length: 5", Err(Bad::LengthRepeated)),
        ("Content-Length: 5\r\nX: y\r\ncontent-length: 05", Err(Bad::LengthRepeated)),
        ("Content-Length: 5\r\nContent-Length: 6", Err(Bad::LengthRepeated)),
        ("Content-Length: 5\r\nContent-Length:", Err(Bad::LengthInvalid)),
        ("Content-Length: 5\r\n 6", Err(Bad::Folding)),
    ];
    for method in ["GET", "POST", "HEAD", "DELETE", "X"] {
        check(&cases, |line| format!("{method} / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
    }
}

#[test]
fn transfer_codings_end_in_exactly_one_chunked() {
    let cases = [
        ("Transfer-Encoding: chunked", CHUNKED),
        ("transfer-encoding:CHUNKED", CHUNKED),
        ("Transfer-Encoding: \tChunked \t", CHUNKED),
        ("Transfer-Encoding: identity, chunked", CHUNKED),
        ("Transfer-Encoding: gzip, chunked", CHUNKED),
        ("Transfer-Encoding: GZIP\t, deflate ,chunked", CHUNKED),
        ("Transfer-Encoding: x-gzip\r\nTransfer-Encoding: compress\r\nTransfer-Encoding: chunked", CHUNKED),
        ("Transfer_Encoding: chunked", NONE),
        ("X-Transfer-Encoding: chunked", NONE),
        ("TE: chunked", NONE),
        ("Transfer-Encoding: br, chunked", Err(Bad::CodingUnknown)),
        ("Transfer-Encoding: xchunked, chunked", Err(Bad::CodingUnknown)),
        ("Transfer-Encoding: gzip,gzip,gzip,gzip,gzip,gzip,gzip,gzip,chunked", Err(Bad::CodingUnknown)),
        ("Transfer-Encoding:", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: ,", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: ,chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked,", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: gzip,,chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: identity", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: gzip", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: cow", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: xchunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunkedx", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked, chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked, identity", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked, gzip", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked, gzip, chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked;q=1", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: gzip;q=1, chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: \"chunked\"", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: 'chunked'", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunK\u{212a}ed", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chun\u{17f}ed", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: \u{85}chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: Transfer-Encoding: chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding:", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding:\r\nTransfer-Encoding: chunked", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: \x0bchunked", Err(Bad::FieldValue)),
        ("Transfer-Encoding: \0chunked", Err(Bad::FieldValue)),
        ("Transfer-Encoding: chunked\x08", Err(Bad::FieldValue)),
        ("Transfer-Encoding: chunked\r", Err(Bad::FieldValue)),
        ("Transfer-Encoding : chunked", Err(Bad::FieldName)),
        ("Transfer-Encoding\t: chunked", Err(Bad::FieldName)),
        ("Transfer-Encoding\x0b: chunked", Err(Bad::FieldName)),
        ("Transfer- Encoding: chunked", Err(Bad::FieldName)),
        ("\x01Transfer-Encoding: chunked", Err(Bad::FieldName)),
        ("Transfer\u{2d0}Encoding: chunked", Err(Bad::FieldName)),
        ("Transfer-Encoding\r: chunked", Err(Bad::FieldName)),
        (" Transfer-Encoding: chunked", Err(Bad::Folding)),
        ("Transfer-Encoding:\r\n chunked", Err(Bad::Folding)),
        ("X: y\nTransfer-Encoding: chunked", Err(Bad::BareLf)),
    ];
    for method in ["GET", "POST"] {
        check(&cases, |line| format!("{method} / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(verdict(old), Err(Bad::CodingInVersion10));
}

#[test]
fn a_body_is_never_framed_twice() {
    let cases = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Err(Bad::CodingWithLength)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", Err(Bad::CodingWithLength)),
        ("Transfer-Encoding: chunked\r\nX: y\r\ncontent-length: 0", Err(Bad::CodingWithLength)),
        ("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5", Err(Bad::CodingWithLength)),
        ("Transfer-Encoding: identity\r\nContent-Length: 5", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: gzip\r\nContent-Length: 5", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding:\r\nContent-Length: 5", Err(Bad::CodingInvalid)),
        ("Transfer-Encoding: chunked\r\nContent-Length: x", Err(Bad::LengthInvalid)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 6", Err(Bad::LengthRepeated)),
    ];
    check(&cases, |line| format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
    let connect = |line: &str| format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n{line}\r\n\r\n");
    check(
        &[
            ("X: y", NONE),
            ("Content-Length: 0", length(0)),
            ("Content-Length: 5", Err(Bad::ConnectContent)),
            ("Transfer-Encoding: chunked", Err(Bad::ConnectContent)),
        ],
        connect,
    );
}

#[test]
fn the_connection_does_what_version_and_fields_say() {
    let many = "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,a,b,c,d,e,f,g";
    let cases: [Manners; 27] = [
        ("1.1", "X: y", Ok((true, false, false))),
        ("1.1", "Connection: close", Ok((false, false, false))),
        ("1.1", "Connection: keep-alive, CLOSE", Ok((false, false, false))),
        ("1.1", "Connection: x\r\nConnection: close", Ok((false, false, false))),
        ("1.1", "Connection: keep-alive", Ok((true, false, false))),
        ("1.1", "Connection:", Ok((true, false, false))),
        ("1.1", "Connection: ,, x ,", Ok((true, false, false))),
        ("1.1", "Connection: closed", Ok((true, false, false))),
        ("1.1", "Connection: close x", Err(Bad::ConnectionOption)),
        ("1.1", "Connection: \"close\"", Err(Bad::ConnectionOption)),
        ("1.1", many, Err(Bad::ConnectionOption)),
        ("1.0", "X: y", Ok((false, false, false))),
        ("1.0", "Connection: Keep-Alive", Ok((true, false, false))),
        ("1.0", "Connection: keep-alive, close", Ok((false, false, false))),
        ("1.1", "Expect: 100-Continue\r\nContent-Length: 5", Ok((true, true, false))),
        ("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked", Ok((true, true, false))),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0", Ok((true, false, false))),
        ("1.1", "Expect: 100-continue", Ok((true, false, false))),
        ("1.1", "Expect: 200-ok", Err(Bad::Expectation)),
        ("1.1", "Expect:", Err(Bad::Expectation)),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 5", Ok((false, false, false))),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket", Ok((true, false, true))),
        ("1.1", "Upgrade: websocket", Ok((true, false, false))),
        ("1.1", "Connection: upgrade", Ok((true, false, false))),
        ("1.1", "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c", Ok((true, false, false))),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket, TLS/1.2", Ok((true, false, false))),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket", Ok((false, false, false))),
    ];
    for (version, fields, expected) in cases {
        let text = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n\r\n");
        let got = request(text.as_bytes()).map(|read| {
            let (_, parsed) = read.expect("the head is complete");
            (parsed.keep_alive, parsed.expect_continue, parsed.upgrade)
        });
        assert_eq!(got, expected, "{}", text.escape_debug());
    }
}

#[test]
fn inner_codings_are_kept_and_written_as_the_last_request_of_the_connection() {
    let text = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: GZip\r\nTransfer-Encoding: identity, deflate , chunked\r\n\r\n";
    let (mut head, parsed) = request(text).unwrap().unwrap();
    assert_eq!(head.codings(), "gzip, deflate");
    head.fields.strip_hop_by_hop(false);
    let mut out = Vec::new();
    write_request(&mut out, &head, parsed.framing, Connection::Implied);
    let written =
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, deflate, chunked\r\nconnection: close\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), written);
    let (head, _) = request(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(head.codings(), "");
}
