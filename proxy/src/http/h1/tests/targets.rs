//! Request targets and hosts, and the verdict on each.

use super::BadRequest as Bad;
use super::requests::{NONE, check, verdict};

#[test]
fn a_path_holds_what_clients_send_and_nothing_that_misleads() {
    let cases = [
        ("/", NONE),
        ("//double//slash", NONE),
        ("/a/../b/./c", NONE),
        ("/a-._~!$&'()*+,;=:@b", NONE),
        ("/%41%2f%00%C3%a4", NONE),
        ("/a[1]|b^c{d}", NONE),
        ("/?", NONE),
        ("/?a=b?c=/d:@", NONE),
        ("/?q=\"x\"\\`|{}[]^", NONE),
        ("/?100%", NONE),
        ("/a%", Err(Bad::Target)),
        ("/a%4", Err(Bad::Target)),
        ("/a%zz", Err(Bad::Target)),
        ("/a%4?b", Err(Bad::Target)),
        ("/a#b", Err(Bad::Target)),
        ("/a?b#c", Err(Bad::Target)),
        ("/a\\b", Err(Bad::Target)),
        ("/a\"b", Err(Bad::Target)),
        ("/a`b", Err(Bad::Target)),
        ("/a<b", Err(Bad::Target)),
        ("/?a>b", Err(Bad::Target)),
        ("/a\tb", Err(Bad::Target)),
        ("/a\0b", Err(Bad::Target)),
        ("/a\x01b", Err(Bad::Target)),
        ("/a\x7fb", Err(Bad::Target)),
        ("/a\rb", Err(Bad::Target)),
        ("/?a\x0bb", Err(Bad::Target)),
        ("/ä", Err(Bad::Target)),
        ("/?ä", Err(Bad::Target)),
        ("a/b", Err(Bad::Target)),
        ("?a", Err(Bad::Target)),
        ("*", Err(Bad::Target)),
    ];
    check(&cases, |target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
}

#[test]
fn a_target_has_the_form_that_its_method_demands() {
    let cases = [
        ("OPTIONS *", NONE),
        ("OPTIONS /", NONE),
        ("OPTIONS http://a:80", NONE),
        ("OPTIONS *a", Err(Bad::Target)),
        ("OPTIONS **", Err(Bad::Target)),
        ("POST *", Err(Bad::Target)),
        ("CONNECT a:80", NONE),
        ("CONNECT A:80", NONE),
        ("CONNECT a", Err(Bad::Authority)),
        ("CONNECT a:", Err(Bad::Authority)),
        ("CONNECT a:0", Err(Bad::Authority)),
        ("CONNECT a:65536", Err(Bad::Authority)),
        ("CONNECT a:+80", Err(Bad::Authority)),
        ("CONNECT :80", Err(Bad::Authority)),
        ("CONNECT u@a:80", Err(Bad::Authority)),
        ("CONNECT /", Err(Bad::Authority)),
        ("CONNECT http://a:80/", Err(Bad::Authority)),
        ("GET a:80", Err(Bad::Target)),
        ("GET http://a:80/b?c", NONE),
        ("GET HTTP://a:80/", NONE),
        ("GET https://a:80", NONE),
        ("GET http://a:80?c", NONE),
        ("GET http:///b", Err(Bad::Authority)),
        ("GET http://", Err(Bad::Authority)),
        ("GET http://u:p@a:80/", Err(Bad::Authority)),
        ("GET http://a b:80/", Err(Bad::Version)),
        ("GET http://a:80x/", Err(Bad::Authority)),
        ("GET http://a\\b/", Err(Bad::Authority)),
        ("GET http://a:80/#b", Err(Bad::Target)),
        ("GET http://a:80#b", Err(Bad::Target)),
        ("GET http:/a:80/", Err(Bad::Target)),
        ("GET http:a:80", Err(Bad::Target)),
        ("GET ftp://a:80/", Err(Bad::Scheme)),
        ("GET ws://a:80/", Err(Bad::Scheme)),
        ("GET ://a:80/", Err(Bad::Scheme)),
    ];
    check(&cases, |line| format!("{line} HTTP/1.1\r\nHost: a:80\r\n\r\n"));
}

#[test]
fn there_is_exactly_one_host_and_it_is_a_host() {
    let cases = [
        ("Host: a", NONE),
        ("host:a.example", NONE),
        ("Host: A.Example:8080", NONE),
        ("Host: 192.0.2.1:80", NONE),
        ("Host: [2001:db8::1]:80", NONE),
        ("Host: [::1]", NONE),
        ("Host: a_b-c.d~e", NONE),
        ("Host: a%41", NONE),
        ("Host: a:", NONE),
        ("Host:", NONE),
        ("Host: \t ", NONE),
        ("X: y", Err(Bad::HostMissing)),
        ("Hostt: a", Err(Bad::HostMissing)),
        ("Host: a\r\nHost: a", Err(Bad::HostRepeated)),
        ("Host: a\r\nX: y\r\nhOST: b", Err(Bad::HostRepeated)),
        ("Host: a b", Err(Bad::HostInvalid)),
        ("Host: a/b", Err(Bad::HostInvalid)),
        ("Host: a?b", Err(Bad::HostInvalid)),
        ("Host: a#b", Err(Bad::HostInvalid)),
        ("Host: u@a", Err(Bad::HostInvalid)),
        ("Host: http://a", Err(Bad::HostInvalid)),
        ("Host: a:b", Err(Bad::HostInvalid)),
        ("Host: a:80:80", Err(Bad::HostInvalid)),
        ("Host: a:99999", Err(Bad::HostInvalid)),
        ("Host: :80", Err(Bad::HostInvalid)),
        ("Host: ::1", Err(Bad::HostInvalid)),
        ("Host: [::1", Err(Bad::HostInvalid)),
        ("Host: [::1]x", Err(Bad::HostInvalid)),
        ("Host: [::g]", Err(Bad::HostInvalid)),
        ("Host: []", Err(Bad::HostInvalid)),
        ("Host: a%4", Err(Bad::HostInvalid)),
        ("Host: a\\b", Err(Bad::HostInvalid)),
        ("Host: ä", Err(Bad::HostInvalid)),
        ("Host: \"a\"", Err(Bad::HostInvalid)),
    ];
    check(&cases, |host| format!("GET / HTTP/1.1\r\n{host}\r\n\r\n"));
    assert_eq!(verdict("GET / HTTP/1.0\r\n\r\n"), NONE);
    assert_eq!(verdict("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Err(Bad::HostRepeated));
    assert_eq!(verdict("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), Err(Bad::HostInvalid));
}

#[test]
fn host_agrees_with_the_authority_of_the_target() {
    let cases = [
        ("http://a/\na", NONE),
        ("http://A/\na", NONE),
        ("http://a:80/\na", NONE),
        ("http://a/\na:80", NONE),
        ("https://a/\na:443", NONE),
        ("http://a/\nb", Err(Bad::HostMismatch)),
        ("http://a/\na:443", Err(Bad::HostMismatch)),
        ("https://a/\na:80", Err(Bad::HostMismatch)),
        ("http://a:81/\na", Err(Bad::HostMismatch)),
        ("http://a/\n", Err(Bad::HostMismatch)),
        ("http://a/\na b", Err(Bad::HostInvalid)),
    ];
    check(&cases, |case| {
        let (target, host) = case.split_once('\n').unwrap();
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    });
    assert_eq!(verdict("CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n"), Err(Bad::HostMismatch));
    assert_eq!(verdict("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Bad::HostMismatch));
    assert_eq!(verdict("GET http://a/ HTTP/1.1\r\n\r\n"), Err(Bad::HostMissing));
    assert_eq!(verdict("GET http://a/ HTTP/1.0\r\n\r\n"), NONE);
}
