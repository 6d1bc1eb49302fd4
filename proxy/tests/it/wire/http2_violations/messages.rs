//! Violations by messages: fields, pseudo-fields, lengths, and how they are compressed.

use super::*;

pub(super) fn requests() -> Vec<Case> {
    const BAD: Due = OfStream(&[PROTOCOL_ERROR]);
    let of = |fields: &[(&[u8], &[u8])]| vec![whole(1, RawH2::block(fields))];
    let more = |fields: &[(&[u8], &[u8])]| vec![whole(1, with(fields))];
    let (method, scheme, path) =
        ((&b":method"[..], &b"GET"[..]), (&b":scheme"[..], &b"http"[..]), (&b":path"[..], &b"/"[..]));
    vec![
        (
            "8.1 trailers that do not end the stream",
            vec![open(1, get()), open(1, RawH2::block(&[(b"x", b"y")]))],
            BAD,
        ),
        ("8.2.1 a name in upper case", more(&[(b"X-Y", b"z")]), BAD),
        ("8.2.1 a name with a colon", more(&[(b"x:y", b"z")]), BAD),
        ("8.2.1 a name with a space", more(&[(b"x y", b"z")]), BAD),
        ("8.2.1 an empty name", more(&[(b"", b"z")]), OfStream(&[PROTOCOL_ERROR, COMPRESSION_ERROR])),
        ("8.2.1 a value with CR", more(&[(b"x", b"a\rb")]), BAD),
        ("8.2.1 a value with LF", more(&[(b"x", b"a\nGET /mark HTTP/1.1")]), BAD),
        ("8.2.1 a value with NUL", more(&[(b"x", b"a\0b")]), BAD),
        ("8.2.2 connection", more(&[(b"connection", b"keep-alive")]), BAD),
        ("8.2.2 transfer-encoding", more(&[(b"transfer-encoding", b"chunked")]), BAD),
        ("8.2.2 te without trailers", more(&[(b"te", b"trailers, deflate")]), BAD),
        ("8.3 an unknown pseudo-field", more(&[(b":x", b"y")]), BAD),
        ("8.3 a response's pseudo-field", more(&[(b":status", b"200")]), BAD),
        ("8.3 a pseudo-field after a field", of(&[method, scheme, (b"x", b"y"), path]), BAD),
        ("8.3.1 an empty path", of(&[method, scheme, (b":path", b""), (b":authority", b"a")]), BAD),
        ("8.3.1 no method", of(&[scheme, path, (b":authority", b"a")]), BAD),
        ("8.3.1 no scheme", of(&[method, path, (b":authority", b"a")]), BAD),
        ("8.3.1 no path", of(&[method, scheme, (b":authority", b"a")]), BAD),
        ("8.3.1 two methods", more(&[(b":method", b"GET")]), BAD),
        ("8.3.1 two schemes", more(&[(b":scheme", b"http")]), BAD),
        ("8.3.1 two paths", more(&[(b":path", b"/")]), BAD),
        ("8.3.1 no host at all", of(&[method, scheme, path]), BAD),
        ("8.3.1 another host than the authority", more(&[(b"host", b"b")]), BAD),
        ("8.3.1 two hosts", of(&[method, scheme, path, (b"host", b"a"), (b"host", b"a")]), BAD),
        ("8.3.1 user information", of(&[method, scheme, path, (b":authority", b"u@a")]), BAD),
        ("8.3.1 a path with a space", of(&[method, scheme, (b":path", b"/a b"), (b":authority", b"a")]), BAD),
        ("8.3.1 a path with LF", of(&[method, scheme, (b":path", b"/\r\nx: y"), (b":authority", b"a")]), BAD),
        ("8.3.1 a relative path", of(&[method, scheme, (b":path", b"a"), (b":authority", b"a")]), BAD),
        (
            "8.3.1 a method with a space",
            of(&[(b":method", b"GET /mark"), scheme, path, (b":authority", b"a")]),
            BAD,
        ),
        (
            "8.1.1 less content than announced",
            vec![open(1, with(&[(b"content-length", b"9")])), (DATA, END_STREAM, 1, b"abc".to_vec())],
            BAD,
        ),
        (
            "8.1.1 more content than announced",
            vec![open(1, with(&[(b"content-length", b"1")])), (DATA, END_STREAM, 1, b"abc".to_vec())],
            BAD,
        ),
        ("8.1.1 content announced and none sent", more(&[(b"content-length", b"1")]), BAD),
        ("8.1.1 two lengths", more(&[(b"content-length", b"0"), (b"content-length", b"1")]), BAD),
        ("8.1.1 a length that is no number", more(&[(b"content-length", b"+1")]), BAD),
    ]
}

pub(super) fn compression() -> Vec<Case> {
    const BAD: Due = Connection(&[COMPRESSION_ERROR]);
    /// A literal whose name is "x-test"; its value follows.
    const NAME: [u8; 7] = [0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff];
    let get = |more: &[u8]| vec![whole(1, [&get()[..], more].concat())];
    let named = |value: &[u8]| get(&[&NAME[..], value].concat());
    vec![
        ("7541 2.3.3 an index of 0", get(&[0x80]), BAD),
        ("7541 2.3.3 an index beyond the tables", get(&[0xff, 0x00]), BAD),
        ("7541 4.2 a table size update after a field", get(&[0x21]), BAD),
        (
            "7541 6.3 a table beyond the limit",
            vec![whole(1, [&[0x3f, 0xe2, 0x1f][..], &with(&[])].concat())],
            BAD,
        ),
        ("7541 5.2 padding of more than seven bits", named(&[0x84, 0x49, 0x50, 0x9f, 0xff]), BAD),
        ("7541 5.2 padding of zeros", named(&[0x83, 0x49, 0x50, 0x90]), BAD),
        ("7541 5.2 EOS within a string", named(&[0x85, 0xff, 0xff, 0xff, 0xfd, 0x3f]), BAD),
    ]
}
