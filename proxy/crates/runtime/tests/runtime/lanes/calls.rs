//! Calls to the proxy with whatever arguments: bounds, text, places for results, budgets, and when to call at all.

use std::cell::RefCell;

use proptest::{collection::vec, prelude::*};
use weir_runtime::{Decision, Fault, Limits, View};

use super::{Both, Known, both_start, for_all};
use crate::guest::{Guest, reply};

/// Where the arguments of a call lie, eight bytes each; the first says which function is called.
const ARGUMENTS: u32 = 5000;

/// Interface, function, signature, and what to give it: `w` a word, `l` a number of 64 bits.
const IMPORTS: [(&str, &str, &str, &str); 17] = [
    ("state", "cell", "(param i32 i32) (result i32)", "ww"),
    ("state", "load", "(param i32) (result i64)", "w"),
    ("state", "add", "(param i32 i64) (result i64)", "wl"),
    ("state", "compare-exchange", "(param i32 i64 i64 i32)", "wllw"),
    ("state", "get", "(param i32 i32 i32)", "www"),
    ("state", "put", "(param i32 i32 i32 i32 i32)", "wwwww"),
    ("state", "limit", "(param i32 i32 i32)", "www"),
    ("state", "take", "(param i32 i32 i32 i32) (result i32)", "wwww"),
    ("host", "log", "(param i32 i32 i32)", "www"),
    ("host", "now-ms", "(result i64)", ""),
    ("host", "random", "(result i64)", ""),
    ("host", "request-value", "(param i64 i32 i32 i32)", "lwww"),
    ("host", "count", "(param i32 i64)", "wl"),
    ("host", "metric", "(param i32 i32 i32 i32) (result i32)", "wwww"),
    ("crypto", "key", "(param i32 i32 i32)", "www"),
    ("crypto", "verify", "(param i32 i32 i32 i32 i32 i32 i32) (result i32)", "wwwwwww"),
    ("crypto", "sha256", "(param i32 i32 i32)", "www"),
];

/// Results that no two runs have in common.
const FLEETING: [&str; 3] = ["take", "now-ms", "random"];

/// 32 bytes of "k".
const SECRET: &str = r#"{"kty":"oct","alg":"HS256","k":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s"}"#;

/// Calls the function that the arguments name.
fn call() -> String {
    let mut code = String::new();
    for (number, (_, name, signature, arguments)) in IMPORTS.iter().enumerate() {
        let arguments: String = arguments
            .chars()
            .zip((ARGUMENTS + 8..).step_by(8))
            .map(|(kind, at)| match kind {
                'w' => format!("(i32.load (i32.const {at}))"),
                _ => format!("(i64.load (i32.const {at}))"),
            })
            .collect();
        let call = format!("(call ${name} {arguments})");
        let keep = if FLEETING.contains(name) {
            format!("(drop {call})")
        } else if signature.contains("(result i64)") {
            format!("(i64.store (i32.const 4900) {call})")
        } else if signature.contains("(result i32)") {
            format!("(i32.store (i32.const 4900) {call})")
        } else {
            call
        };
        code +=
            &format!("(if (i32.eq (i32.load (i32.const {ARGUMENTS})) (i32.const {number})) (then {keep}))");
    }
    code
}

/// Imports everything. Texts lie from 300 on, and a secret key at 700.
fn caller() -> Guest {
    let guest = Guest::new().import("crypto", "forget-keys", "");
    let guest = IMPORTS
        .iter()
        .fold(guest, |guest, (interface, name, signature, _)| guest.import(interface, name, signature));
    guest
        .data(300, "knownHS256message")
        .bytes(340, &[0xff, 0xfe, b'a'])
        .data(700, SECRET)
        .configure("(drop (call $cell (i32.const 300) (i32.const 5)))")
}

/// Takes its arguments from the bytes that it is shown, and answers with all of its memory.
fn caller_in_a_hook() -> Guest {
    caller().hook(
        "request",
        format!(
            "(memory.copy (i32.const {ARGUMENTS}) (local.get $bytes) (local.get $len)) {} {}",
            call(),
            reply("(i32.const 0)", "(i32.shl (memory.size) (i32.const 16))")
        ),
    )
}

/// Words that are good as addresses, lengths or positions, and such as are not.
fn word() -> impl Strategy<Value = u64> {
    let end = 2_u64 << 16;
    prop_oneof![
        4 => 0_u64..8,
        6 => prop::sample::select(vec![300_u64, 305, 310, 340, 700, 4_800, 4_808, 4_816]),
        2 => prop::sample::select(vec![5_u64, 7, SECRET.len() as u64, 17]),
        1 => 4_700_u64..4_900,
        1 => end - 20..end + 4,
        1 => any::<u64>(),
    ]
}

fn arguments() -> impl Strategy<Value = Vec<u8>> {
    (0..IMPORTS.len() as u64, vec(word(), 7)).prop_map(|(function, words)| {
        [function].into_iter().chain(words).flat_map(u64::to_le_bytes).collect()
    })
}

#[test]
fn a_call_with_any_arguments_comes_to_the_same() {
    let both = RefCell::new(Both::of(&caller_in_a_hook()));
    let good = RefCell::new(0);
    for_all(4_000, arguments(), |arguments| {
        let mut view = View::new();
        view.push(Some(&arguments));
        let came_to = both.borrow_mut().same(|instance| instance.on_request(3, &view, &mut Known));
        *good.borrow_mut() += usize::from(came_to.is_ok());
    });
    let good = good.into_inner();
    assert!((500..3_500).contains(&good), "{good} calls were good: not much of a test");
}

#[test]
fn a_call_in_configure_with_any_arguments_comes_to_the_same() {
    for_all(60, arguments(), |mut arguments| {
        // More often those that are for configure only.
        if arguments[0].is_multiple_of(2) {
            arguments[0] = if arguments[0].is_multiple_of(4) { 6 } else { 13 };
        }
        let guest =
            caller().hook("request", "i32.const 2048").bytes(ARGUMENTS, &arguments).configure(&call());
        _ = both_start(&guest);
    });
}

#[test]
fn text_beyond_the_limit_is_the_same_fault() {
    let long = "(call $log (i32.const 0) (i32.const 16384) (i32.load (local.get $bytes))) i32.const 2048";
    let guest = Guest::new().import("host", "log", "(param i32 i32 i32)").pages(64).hook("request", long);
    let both = RefCell::new(Both::of(&guest));
    let limit = Limits::default().answer as u32;
    for_all(40, limit - 4..limit + 4, |length| {
        let mut view = View::new();
        view.push(Some(&length.to_le_bytes()));
        let came_to = both.borrow_mut().same(|instance| instance.on_request(1, &view, &mut Known));
        assert_eq!(came_to.is_ok(), length <= limit, "{came_to:?}");
    });
}

/// CanonicalABI.md forbids to call out of `realloc` and `post-return`.
#[test]
fn nobody_calls_while_memory_is_given_or_taken_back() {
    let guest = || Guest::new().import("host", "now-ms", "(result i64)");
    let pass = "i32.const 2048";
    let while_given = guest()
        .hook("request", pass)
        .update("(i32.store (i32.const 7000) (i32.const 1)) (i32.const 1200)")
        .misplaces("(if (i32.load (i32.const 7000)) (then (drop (call $now-ms)))) (local.get $at)");
    let mut both = Both::of(&while_given);
    let ask = |both: &mut Both| both.same(|instance| instance.on_request(1, &View::new(), &mut Known));
    assert_eq!(ask(&mut both), Ok(crate::pass()));
    assert_eq!(both.same(|instance| instance.update("now", b"")), Ok(Ok(())));
    assert!(matches!(ask(&mut both), Err(Fault::Trap(text)) if text.contains("leave")));
    let mut both = Both::of(&guest().hook("request", pass).afterwards("(drop (call $now-ms))"));
    assert!(matches!(ask(&mut both), Err(Fault::Trap(text)) if text.contains("leave")));
    let mut both = Both::of(&guest().hook("request", pass).afterwards("unreachable"));
    assert!(matches!(ask(&mut both), Err(Fault::Trap(text)) if text.contains("unreachable")));
    let endless = guest().hook("request", pass).afterwards("(loop $l (br $l))");
    assert_eq!(ask(&mut Both::of(&endless)), Err(Fault::OutOfTime));
}

/// The answer is read before it is taken back, and taken back before the next call.
#[test]
fn an_answer_is_taken_back_once_and_with_its_address() {
    let noted = Guest::new()
        .hook("request", reply("(i32.const 7000)", "(i32.const 8)"))
        .items(
            "(func $noted (param $answer i32) (i32.store (i32.const 7000) (local.get $answer)) \
                (i32.store (i32.const 7004) (i32.add (i32.load (i32.const 7004)) (i32.const 1))))",
        )
        .afterwards("(call $noted (local.get 0))");
    let mut both = Both::of(&noted);
    for times in 0_u32..3 {
        let came_to = both.same(|instance| instance.on_request(1, &View::new(), &mut Known));
        let Ok(Decision::Answer(reply)) = came_to else { panic!("{came_to:?}") };
        let address: u32 = if times == 0 { 0 } else { crate::guest::DECISION };
        assert_eq!(reply.body, [address.to_le_bytes(), times.to_le_bytes()].concat());
    }
}

#[test]
fn budgets_end_in_the_same_place() {
    let spends = |times: u32| {
        let code = format!(
            "(local $i i32) (loop $l (drop (call $now-ms)) (local.set $i (i32.add (local.get $i) (i32.const 1))) \
             (br_if $l (i32.lt_u (local.get $i) (i32.const {times})))) i32.const 2048"
        );
        Guest::new().import("host", "now-ms", "(result i64)").hook("request", code)
    };
    let allowed = Limits::default().host_calls;
    for (times, is_fine) in [(allowed, true), (allowed + 1, false)] {
        let mut both = Both::of(&spends(times));
        let came_to = both.same(|instance| instance.on_request(1, &View::new(), &mut Known));
        assert_eq!(came_to, if is_fine { Ok(crate::pass()) } else { Err(Fault::TooManyHostCalls) });
    }
}
