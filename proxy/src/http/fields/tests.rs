//! Tests of the field storage.

use super::*;

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        assert!(fields.push(name, value.as_bytes()), "{name}: {value}");
    }
    fields
}

fn text(fields: &Fields) -> String {
    let mut out = Vec::new();
    fields.write_lines(KnownSet::NONE, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn fields_keep_their_order_and_lose_the_case_of_their_names() {
    let fields = fields(&[("X-One", "1"), ("Host", "a"), ("x-one", "2"), ("Empty", "")]);
    let seen: Vec<_> = fields.iter().collect();
    assert_eq!(seen, [("x-one", b"1".as_slice()), ("host", b"a"), ("x-one", b"2"), ("empty", b"")]);
    assert_eq!(text(&fields), "x-one: 1\r\nhost: a\r\nx-one: 2\r\nempty: \r\n");
    assert_eq!(fields.byte_size(), text(&fields).len());
    assert_eq!(fields.len(), 4);
}

#[test]
fn look_ups_ignore_case_and_tell_absent_from_empty() {
    let fields = fields(&[("X-One", "1"), ("VIA", "a"), ("x-one", "2"), ("empty", "")]);
    assert_eq!(fields.get("X-ONE"), Some(b"1".as_slice()));
    assert_eq!(fields.get("Via"), Some(b"a".as_slice()));
    assert_eq!(fields.get_known(Known::Via), Some(b"a".as_slice()));
    assert_eq!(fields.get("empty"), Some(b"".as_slice()));
    assert_eq!(fields.get("x-on"), None);
    assert_eq!(fields.get_known(Known::Host), None);
    assert!(fields.contains("empty") && !fields.contains("") && !fields.contains("host"));
    assert_eq!(fields.all("x-one").collect::<Vec<_>>(), [b"1", b"2"]);
    let known: Vec<_> = fields.iter_known().map(|(known, name, _)| (known, name)).collect();
    assert_eq!(known[1], (Known::Via, "via"));
    assert_eq!(known[0], (Known::Other, "x-one"));
}

#[test]
fn values_of_one_name_are_joined_as_their_field_demands() {
    let fields = fields(&[("a", "1"), ("cookie", "x=1"), ("A", "2"), ("Cookie", "y=2"), ("a", "")]);
    let mut out = b"> ".to_vec();
    assert!(fields.joined("a", &mut out));
    assert_eq!(out, b"> 1, 2, ");
    out.clear();
    assert!(fields.joined("COOKIE", &mut out));
    assert_eq!(out, b"x=1; y=2");
    assert!(!fields.joined("b", &mut out));
    assert_eq!(out, b"x=1; y=2");
}

#[test]
fn changes_touch_every_field_of_the_name_and_no_other() {
    let mut fields = fields(&[("a", "1"), ("b", "2"), ("A", "3"), ("c", "4")]);
    assert!(fields.set("A", b"5"));
    assert_eq!(text(&fields), "b: 2\r\nc: 4\r\na: 5\r\n");
    assert!(fields.append("b", b"6"));
    assert!(fields.remove("B"));
    assert!(!fields.remove("b"));
    assert_eq!(text(&fields), "c: 4\r\na: 5\r\n");
    assert!(fields.remove("c") && fields.remove("a"));
    assert!(fields.is_empty());
    assert_eq!((fields.len(), fields.byte_size()), (0, 0));
    assert!(fields.push("d", b"7"));
    assert_eq!(text(&fields), "d: 7\r\n");
    fields.clear();
    assert_eq!(fields, Fields::new());
}

#[test]
fn what_is_not_legal_is_never_stored() {
    let mut fields = fields(&[("a", "1")]);
    for name in ["", ":path", "a b", "a:", "a\r\nb", "ä", "a\0", "(a)", "a/b", "\u{7f}"] {
        assert!(!fields.push(name, b"1") && !fields.set(name, b"1"), "{name:?}");
        assert!(!legal_name(name.as_bytes()), "{name:?}");
    }
    let values: [&[u8]; 9] = [b"a\r\nb: c", b"a\n", b"a\r", b"a\0", b" a", b"a ", b"\ta", b"\x7f", b"a\x01b"];
    for value in values {
        assert!(!fields.push("a", value) && !fields.set("a", value), "{}", value.escape_ascii());
    }
    assert_eq!(text(&fields), "a: 1\r\n");
    for value in [b"".as_slice(), b"a b\tc", b"\xc3\xa4", b"\"\\,;=", b"\x80\xff"] {
        assert!(legal_value(value), "{}", value.escape_ascii());
    }
}

#[test]
fn writing_skips_a_set_of_names_wherever_they_stand() {
    let fields = fields(&[("host", "a"), ("b", "1"), ("c", "2"), ("via", "x"), ("d", "3"), ("host", "e")]);
    let mut out = Vec::new();
    fields.write_lines(KnownSet::of(&[Known::Host, Known::Via]), &mut out);
    assert_eq!(out, b"b: 1\r\nc: 2\r\nd: 3\r\n");
}

#[test]
fn fields_of_the_connection_are_stripped_and_trailers_stay_allowed() {
    let list = [
        ("Connection", "close, X-Mine"),
        ("x-mine", "1"),
        ("connection", "connection, x-other"),
        ("X-Other", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers;q=0.5, gzip, Trailers"),
        ("transfer-encoding", "chunked"),
        ("transfer_encoding", "chunked"),
        ("content_length", "5"),
        ("http2-settings", "x"),
        ("upgrade", "websocket"),
        ("content-length", "5"),
        ("x-kept", "1"),
    ];
    let mut plain = fields(&list);
    plain.strip_hop_by_hop(false);
    assert_eq!(text(&plain), "content-length: 5\r\nx-kept: 1\r\nte: trailers\r\n");
    let mut upgrading =
        fields(&[("connection", "upgrade, x-mine"), ("x-mine", "1"), ("upgrade", "websocket")]);
    upgrading.strip_hop_by_hop(true);
    assert_eq!(text(&upgrading), "upgrade: websocket\r\n");
}

#[test]
fn memory_is_kept_by_clearing_and_returned_by_releasing() {
    let mut fields = fields(&[("a", &"x".repeat(100_000))]);
    fields.clear();
    assert!(fields.lines.capacity() >= 100_000);
    fields.release(1024);
    assert!(fields.lines.capacity() < 100_000 && fields.is_empty());
}
