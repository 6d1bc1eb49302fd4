//! Which components are called directly, and which are not, and why.

use weir_runtime::{Fault, Lane, NoValues, Program, inspect};
use wit_component::{ComponentEncoder, StringEncoding};

use crate::{
    ENGINE, ask,
    guest::{Guest, PASS},
    settings, try_start,
};

fn plain() -> Guest {
    Guest::new()
        .import("host", "now-ms", "(result i64)")
        .import("state", "get", "(param i32 i32 i32)")
        .hook("request", format!("(drop (call $now-ms)) i32.const {PASS}"))
        .hook("complete", "")
}

fn component_of(guest: &Guest) -> Vec<u8> {
    ComponentEncoder::default().module(&guest.build()).unwrap().encode().unwrap()
}

fn reason(bytes: &[u8]) -> String {
    match inspect(bytes).unwrap().lane {
        Lane::Component(reason) => reason,
        Lane::Direct => panic!("it is called directly"),
    }
}

#[test]
fn one_module_of_the_contract_is_called_directly_whether_it_is_a_component_yet_or_not() {
    for bytes in
        [plain().build(), component_of(&plain()), Guest::new().hook("request", "i32.const 2048").build()]
    {
        assert_eq!(inspect(&bytes).unwrap().lane, Lane::Direct);
        let artifact = ENGINE.load(&bytes).unwrap();
        assert_eq!(artifact.inspection.lane, Lane::Direct);
        let (mut instance, _) =
            Program::<NoValues>::new(&ENGINE, &artifact, settings()).unwrap().instantiate("{}").unwrap();
        assert_eq!(ask(&mut instance), Ok(crate::pass()));
    }
}

#[test]
fn what_is_more_than_that_is_a_component() {
    let begins = plain().items("(func $begin) (start $begin)");
    assert_eq!(reason(&begins.build()), "has a start function");
    let wide = plain().encoded(StringEncoding::UTF16);
    assert!(reason(&wide.build()).contains("UTF16"), "{}", reason(&wide.build()));
    let clock = plain()
        .with_wit("package wasi:clocks@0.2.3 { interface monotonic-clock { now: func() -> u64; } }")
        .import_as("now", "wasi:clocks/monotonic-clock@0.2.3", "now", "(result i64)");
    assert!(reason(&clock.build()).contains("wasi:clocks/monotonic-clock"), "{}", reason(&clock.build()));
    for guest in [begins, clock] {
        assert_eq!(ask(&mut try_start(&guest, settings()).unwrap().0), Ok(crate::pass()));
    }
}

/// The core signatures are the contract's; the types are not.
#[test]
fn a_filter_that_misreads_the_contract_is_told_so_by_the_component_lane() {
    let misread = [
        ("at: list<u32>", "at: list<s32>"),
        ("bytes: list<u8>", "bytes: list<u16>"),
        ("pass(passage)", "go-on(passage)"),
        ("keep-ms: u32", "keep-s: u32"),
        ("mirror: option<u32>", "mirror: option<s32>"),
        ("retries: option<u8>", "retries: option<u16>"),
        ("remove(string)", "remove(list<u8>)"),
    ];
    for (from, to) in misread {
        let guest = Guest::new().hook("request", format!("i32.const {PASS}")).misread(from, to);
        let reason = reason(&guest.build());
        assert!(reason.contains("on-request") && reason.contains("another"), "{to}: {reason}");
        let fault = try_start(&guest, settings()).err();
        assert!(matches!(&fault, Some(Fault::Configure(text)) if text.contains("type")), "{to}: {fault:?}");
    }
}

/// A component put together by hand, as no tool does: `lifecycle` only, with parts that tests replace.
fn by_hand(replace: &[(&str, &str)]) -> Vec<u8> {
    let mut wat = include_str!("lifecycle.wat").to_owned();
    for (from, to) in replace {
        assert!(wat.contains(from), "{from}");
        wat = wat.replace(from, to);
    }
    wat::parse_str(&wat).unwrap()
}

#[test]
fn a_component_made_by_hand_is_judged_by_what_it_is() {
    let runs = |bytes: &[u8]| {
        let artifact = ENGINE.load(bytes).unwrap();
        let program = Program::<NoValues>::new(&ENGINE, &artifact, settings()).unwrap();
        program.instantiate("{}").map(|(mut instance, _)| instance.update("data", b"content").unwrap())
    };
    let plain = by_hand(&[]);
    assert_eq!(inspect(&plain).unwrap().lane, Lane::Direct);
    assert_eq!(runs(&plain), Ok(Ok(())));
    let another_allocator = (
        ";; another module",
        r#"(core module $other (memory (export "memory") 1)
             (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
           (core instance $o (instantiate $other))"#,
    );
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[another_allocator], "more than one core module"),
        (
            &[
                another_allocator,
                (r#"(realloc (core func $m "realloc"))"#, r#"(realloc (core func $o "realloc"))"#),
            ],
            "more than one core module",
        ),
        (
            &[(
                r#"(realloc (core func $m "realloc")) (; update ;)"#,
                r#"(realloc (core func $m "other-realloc"))"#,
            )],
            "more than one way",
        ),
        (&[("string-encoding=utf8", "string-encoding=latin1+utf16")], "CompactUTF16"),
        (
            &[(
                r#"(export "weir:policy/lifecycle@0.1.0" (instance $lifecycle))"#,
                r#"(export "weir:policy/lifecycle@0.1.0" (instance $lifecycle)) (export "again" (func $update))"#,
            )],
            "no interface",
        ),
    ];
    for (replace, named) in cases {
        let bytes = by_hand(replace);
        let reason = reason(&bytes);
        assert!(reason.contains(named), "{named}: {reason}");
        assert_eq!(runs(&bytes), Ok(Ok(())), "{named}");
    }
}
