//! What is written: exactly these bytes.

use super::*;
use crate::http::fields::Fields;

fn rewritten(text: &str, framing: Framing, connection: Connection) -> String {
    let (mut head, _) = request(text.as_bytes()).unwrap().unwrap();
    head.fields.strip_hop_by_hop(connection == Connection::Upgrade);
    let mut out = Vec::new();
    write_request(&mut out, &head, framing, connection);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_is_written_in_origin_form_with_its_own_framing() {
    let got = rewritten(
        "POST http://Example.com:8080/a?b HTTP/1.1\r\nX-One:  1 \r\nHost: example.com:8080\r\nContent-Length: 007\r\nx-two: 2\r\n\r\n",
        Framing::Length(7),
        Connection::Implied,
    );
    assert_eq!(
        got,
        "POST /a?b HTTP/1.1\r\nhost: example.com:8080\r\nx-one: 1\r\nx-two: 2\r\ncontent-length: 7\r\n\r\n"
    );
}

#[test]
fn fields_of_the_connection_are_not_passed_on() {
    let got = rewritten(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret\r\nconnection: te\r\nX-Secret: 1\r\nTE: trailers, gzip\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX-Kept: 1\r\n\r\n",
        Framing::None,
        Connection::Implied,
    );
    assert_eq!(got, "GET / HTTP/1.1\r\nhost: a\r\nx-kept: 1\r\nte: trailers\r\nconnection: te\r\n\r\n");
}

#[test]
fn an_expectation_that_does_not_count_is_not_passed_on() {
    let ignored = [
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nExpect: the unexpected\r\n\r\n",
    ];
    for text in ignored {
        let got = rewritten(text, Framing::None, Connection::Implied);
        assert_eq!(got, "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "{}", text.escape_debug());
    }
    let text = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n";
    let got = rewritten(text, Framing::Length(1), Connection::Implied);
    assert_eq!(got, "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 1\r\n\r\n");
}

#[test]
fn an_upgrade_is_passed_on_when_it_is_meant_to_be() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(
        rewritten(text, Framing::None, Connection::Upgrade),
        "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    );
    assert_eq!(rewritten(text, Framing::None, Connection::Implied), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
}

#[test]
fn special_targets_are_written_as_their_method_demands() {
    let line = |text| rewritten(text, Framing::None, Connection::Close).lines().next().unwrap().to_owned();
    assert_eq!(line("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "OPTIONS * HTTP/1.1");
    assert_eq!(line("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"), "OPTIONS * HTTP/1.1");
    assert_eq!(line("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), "CONNECT a:443 HTTP/1.1");
    assert_eq!(line("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n"), "GET / HTTP/1.1");
    assert_eq!(line("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n"), "GET /?q HTTP/1.1");
}

fn answered(text: &str, to: Method) -> String {
    let (mut head, parsed) = response(text.as_bytes(), &to).unwrap().unwrap();
    head.fields.strip_hop_by_hop(false);
    let mut out = Vec::new();
    write_response(&mut out, &head, parsed.framing, Connection::Implied);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_keeps_the_length_that_has_no_body() {
    let text = "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nA: b\r\n\r\n";
    assert_eq!(answered(text, Method::Head), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\na: b\r\n\r\n");
    assert_eq!(answered(text, Method::Get), "HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 5\r\n\r\n");
    let text = "HTTP/1.0 304\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(answered(text, Method::Get), "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n");
    let text = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(text, Method::Get), "HTTP/1.1 204 No Content\r\n\r\n");
    let text = "HTTP/1.1 599 Odd\r\nTransfer-Encoding: Chunked\r\n\r\n";
    assert_eq!(answered(text, Method::Get), "HTTP/1.1 599 \r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn chunks_are_written_with_their_size_and_never_empty() {
    let mut out = Vec::new();
    write_chunk(&mut out, b"hello");
    write_chunk(&mut out, b"");
    write_chunk(&mut out, &[b'x'; 0x1f]);
    let mut trailers = Fields::new();
    assert!(trailers.push("Grpc-Status", b"0"));
    assert!(trailers.push("Content-Length", b"9"));
    write_last_chunk(&mut out, &trailers);
    let text = format!("5\r\nhello\r\n1f\r\n{}\r\n0\r\ngrpc-status: 0\r\n\r\n", "x".repeat(0x1f));
    assert_eq!(String::from_utf8(out).unwrap(), text);
    assert_eq!(chunk_head(usize::MAX).as_bytes(), b"ffffffffffffffff\r\n");
}
