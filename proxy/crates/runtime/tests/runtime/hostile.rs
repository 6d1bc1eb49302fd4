//! Guests that loop, hoard, trap and lie: each costs its caller one fault of the right kind.

use std::time::Duration;

use weir_runtime::{ConnectionView, Fault, Limits, NoValues, ProgramSettings, View};

use crate::{
    ask,
    guest::{DECISION, Guest, PASS},
    pass, settings, start, try_start,
};

fn request(code: &str) -> Guest {
    Guest::new().hook("request", code)
}

fn fault_of(guest: &Guest) -> Fault {
    let mut instance = start(guest);
    let fault = ask(&mut instance).unwrap_err();
    assert_eq!(ask(&mut instance), Err(Fault::Poisoned), "after {fault:?}");
    assert!(instance.must_recycle());
    fault
}

fn limited(limits: Limits) -> ProgramSettings {
    ProgramSettings { limits, ..settings() }
}

/// Answers with a decision of which these words were written.
fn decision(words: &[(u32, u32)]) -> String {
    let store = |(offset, word): &(u32, u32)| {
        format!("(i32.store (i32.const {}) (i32.const {}))", DECISION + offset, *word as i32)
    };
    words.iter().map(store).collect::<String>() + &format!("(i32.const {DECISION})")
}

#[test]
fn an_endless_loop_runs_out_of_time_in_every_hook() {
    let endless = "(loop $again (br $again)) (unreachable)";
    let guest = Guest::new()
        .hook("connection", endless)
        .hook("request", endless)
        .hook("request-body", endless)
        .hook("answer", endless)
        .hook("response", endless)
        .hook("complete", endless);
    let v = &mut NoValues;
    assert_eq!(start(&guest).on_connection(&ConnectionView::default()), Err(Fault::OutOfTime));
    assert_eq!(ask(&mut start(&guest)), Err(Fault::OutOfTime));
    assert_eq!(start(&guest).on_request_body(1, 0, b"", v), Err(Fault::OutOfTime));
    let timeout = Err(weir_runtime::AnswerFailure::Timeout);
    assert_eq!(start(&guest).on_answer(1, b"", timeout, v), Err(Fault::OutOfTime));
    assert_eq!(start(&guest).on_response(1, 0, 200, &View::new(), v), Err(Fault::OutOfTime));
    assert_eq!(start(&guest).on_complete(1, 0, &Default::default()), Err(Fault::OutOfTime));
}

#[test]
fn an_endless_configure_update_or_start_runs_out_of_time() {
    let limits = limited(Limits { setup_time: Duration::from_millis(20), ..Limits::default() });
    let endless = "(loop $again (br $again))";
    let configure = request(&format!("i32.const {PASS}")).configure(endless);
    assert_eq!(try_start(&configure, limits.clone()).err(), Some(Fault::OutOfTime));
    let begin = request(&format!("i32.const {PASS}")).items("(func $s (loop $l (br $l))) (start $s)");
    assert_eq!(try_start(&begin, limits.clone()).err(), Some(Fault::OutOfTime));
    let update = request(&format!("i32.const {PASS}")).update("(loop $again (br $again)) (unreachable)");
    let (mut instance, _) = try_start(&update, limits).unwrap();
    assert_eq!(instance.update("keys", b""), Err(Fault::OutOfTime));
}

#[test]
fn a_memory_bomb_runs_out_of_memory() {
    let bomb =
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";
    let mut instance = start(&request(bomb));
    assert_eq!(ask(&mut instance), Err(Fault::OutOfMemory));
    assert_eq!(instance.memory_bytes(), 16 << 20);
}

#[test]
fn a_guest_that_can_do_with_less_memory_goes_on() {
    let modest = format!("(drop (memory.grow (i32.const 4000))) (i32.const {PASS})");
    let mut instance = start(&request(&modest));
    assert_eq!(ask(&mut instance), Ok(pass()));
    assert_eq!(instance.memory_bytes(), 128 << 10);
    assert_eq!(ask(&mut instance), Ok(pass()));
}

#[test]
fn a_guest_that_begins_too_large_is_not_made() {
    let guest = request(&format!("i32.const {PASS}")).pages(257);
    assert_eq!(try_start(&guest, settings()).err(), Some(Fault::OutOfMemory));
}

#[test]
fn a_trap_says_what_happened() {
    let named = request("(call $boom) (unreachable)").items("(func $boom (unreachable))");
    let Fault::Trap(text) = fault_of(&named) else { panic!("no trap") };
    assert!(text.contains("unreachable") && text.contains("boom"), "{text}");
    let deep = request("(call $deep) (unreachable)").items("(func $deep (call $deep) (call $deep))");
    let Fault::Trap(text) = fault_of(&deep) else { panic!("no trap") };
    assert!(text.contains("stack"), "{text}");
    let outside = request("(i32.load (i32.const -4)) (drop) (unreachable)");
    assert!(matches!(fault_of(&outside), Fault::Trap(text) if text.contains("bounds")));
}

#[test]
fn a_flood_of_calls_is_stopped() {
    let flood = "(loop $again (drop (call $now-ms)) (br $again)) (unreachable)";
    let guest = request(flood).import("host", "now-ms", "(result i64)");
    let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
    let (mut instance, _) = try_start(&guest, limited(limits)).unwrap();
    assert_eq!(ask(&mut instance), Err(Fault::TooManyHostCalls));
}

#[test]
fn the_budget_of_calls_is_full_again_in_every_hook() {
    let calls = format!("{} (i32.const {PASS})", "(drop (call $now-ms))".repeat(7));
    let guest = request(&calls).import("host", "now-ms", "(result i64)");
    let (mut instance, _) =
        try_start(&guest, limited(Limits { host_calls: 7, ..Limits::default() })).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut instance), Ok(pass()));
    }
}

#[test]
fn a_giant_answer_is_refused_without_being_copied() {
    // An answer whose body is nearly all of the guest's memory.
    let body = decision(&[(0, 1), (8, 200), (20, 0), (24, 15 << 20)]);
    let guest = request(&format!("(drop (memory.grow (i32.const 250))) {body}"));
    assert!(matches!(fault_of(&guest), Fault::WrongAnswer(text) if text.contains("too much data")));
    // Half a million edits, each of which needs more memory here than there.
    let edits = decision(&[(8, 65_536), (12, 500_000)]);
    let guest = request(&format!("(drop (memory.grow (i32.const 250))) {edits}"));
    assert!(matches!(fault_of(&guest), Fault::WrongAnswer(text) if text.contains("too much data")));
}

#[test]
fn what_is_no_decision_is_a_wrong_answer() {
    let cases = [
        ("a variant beyond the last", decision(&[(0, 3)])),
        ("a list out of bounds", decision(&[(8, 1 << 30), (12, 1)])),
        ("a list that wraps around", decision(&[(8, u32::MAX), (12, u32::MAX)])),
        ("a body out of bounds", decision(&[(0, 1), (8, 200), (20, 1 << 30), (24, 8)])),
        ("an option that is neither", decision(&[(16, 7)])),
        ("text that is not UTF-8", decision(&[(0, 1), (8, 200), (28, DECISION + 60), (32, 1), (60, 0xff)])),
        ("status 0", decision(&[(0, 1)])),
        ("status 101", decision(&[(0, 1), (8, 101)])),
        ("status 600", decision(&[(0, 1), (8, 600)])),
        ("a question nobody will hear the answer to", decision(&[(0, 2)])),
        ("an address out of bounds", "i32.const 0x7fff_fff8".to_owned()),
        ("an address between", "i32.const 2049".to_owned()),
    ];
    for (what, code) in cases {
        let fault = fault_of(&request(&code));
        assert!(matches!(fault, Fault::WrongAnswer(_)), "{what}: {fault:?}");
    }
}

#[test]
fn a_question_about_a_response_is_a_wrong_answer() {
    let guest = Guest::new().hook("response", decision(&[(0, 2)])).hook("answer", decision(&[(0, 2)]));
    let mut instance = start(&guest);
    let answer = instance.on_response(1, 0, 200, &View::new(), &mut NoValues);
    assert!(matches!(answer, Err(Fault::WrongAnswer(text)) if text.contains("on-response")));
}

#[test]
fn a_guest_that_misplaces_what_it_is_shown_is_stopped() {
    let guest = request(&format!("i32.const {PASS}")).misplaces("(i32.const 0x7fff_fff8)");
    let fault = try_start(&guest, settings()).err();
    assert!(matches!(fault, Some(Fault::WrongAnswer(_))), "{fault:?}");
}
