//! What a guest is shown: after each call the whole of its memory is compared.

use std::cell::RefCell;

use proptest::{collection::vec, prelude::*};
use weir_runtime::{Answer, AnswerFailure, Decision, Fault, Outcome, View};

use super::{Both, Known, for_all};
use crate::guest::{Guest, reply};

/// Stores its parameters, and answers with all of its memory.
fn witness() -> Guest {
    let told = |numbers: &[&str], long: &[&str]| {
        let store = |kind: &'static str, names: &[&str], from: usize| -> String {
            let each = names.iter().zip((from..).step_by(8));
            each.map(|(name, at)| format!("({kind}.store (i32.const {at}) (local.get {name}))")).collect()
        };
        store("i64", long, 5000) + &store("i32", numbers, 5100) + &all_of_memory()
    };
    Guest::new()
        .hook("request", told(&["$at", "$n", "$bytes", "$len"], &["$id"]))
        .hook("request-body", told(&["$body", "$len"], &["$id", "$memo"]))
        .hook(
            "answer",
            told(
                &["$memo", "$memo-len", "$failed", "$status", "$fields", "$fields-len", "$body", "$len"],
                &["$id"],
            ),
        )
        .hook("response", told(&["$status", "$at", "$n", "$bytes", "$len"], &["$id", "$memo"]))
        .hook(
            "complete",
            told(
                &["$status", "$has-cluster", "$cluster", "$attempts", "$local", "$aborted"],
                &["$id", "$memo", "$total-us", "$upstream-us", "$now-ms"],
            ) + "(drop)",
        )
        // Each allocation is noted: 16 bytes from the address at 6000 on.
        .items("(func $note (param $align i32) (param $size i32) (local $to i32)
            (local.set $to (i32.load (i32.const 6000)))
            (i32.store offset=6004 (local.get $to) (local.get $align))
            (i32.store offset=6008 (local.get $to) (local.get $size))
            (i32.store (i32.const 6000) (i32.and (i32.add (local.get $to) (i32.const 8)) (i32.const 0x3ff))))")
        .misplaces("(call $note (local.get $align) (local.get $size)) (local.get $at)")
        .update("(i32.store (i32.const 5000) (local.get $name)) (i32.store (i32.const 5004) (local.get $name-len)) \
                 (i32.store (i32.const 5008) (local.get $content)) (i32.store (i32.const 5012) (local.get $content-len)) \
                 (call $reset) (i32.const 1200)")
}

fn all_of_memory() -> String {
    reply("(i32.const 0)", "(i32.shl (memory.size) (i32.const 16))")
}

fn views() -> impl Strategy<Value = View> {
    vec(proptest::option::of(vec(any::<u8>(), 0..40)), 0..8).prop_map(|values| {
        let mut view = View::new();
        values.iter().for_each(|value| view.push(value.as_deref()));
        view
    })
}

/// Mostly small, sometimes larger than the guest's memory to begin with.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => vec(any::<u8>(), 0..100), 1 => (0_usize..300_000).prop_map(|size| vec![b'x'; size])]
}

fn answers() -> impl Strategy<Value = Result<Answer, AnswerFailure>> {
    let fields = vec((".{0,8}", vec(any::<u8>(), 0..20)), 0..5);
    prop_oneof![
        4 => (any::<u16>(), fields, bodies())
            .prop_map(|(status, fields, body)| Ok(Answer { status, fields, body })),
        1 => prop::sample::select(vec![
            AnswerFailure::Timeout,
            AnswerFailure::Unreachable,
            AnswerFailure::Refused,
            AnswerFailure::TooLarge,
        ])
        .prop_map(Err),
    ]
}

#[test]
fn what_a_hook_is_shown_lies_in_the_same_places() {
    let both = RefCell::new(Both::of(&witness()));
    let numbers = any::<(u64, u64, u16)>();
    for_all(250, (numbers, views(), bodies(), answers()), |((id, memo, status), view, body, answer)| {
        let mut both = both.borrow_mut();
        let is_whole = |came_to: Result<Decision, Fault>| assert!(matches!(came_to, Ok(Decision::Answer(_))));
        is_whole(both.same(|instance| instance.on_request(id, &view, &mut Known)));
        is_whole(both.same(|instance| instance.on_request_body(id, memo, &body, &mut Known)));
        is_whole(both.same(|instance| instance.on_answer(id, &body, answer.clone(), &mut Known)));
        is_whole(both.same(|instance| instance.on_response(id, memo, status, &view, &mut Known)));
        assert_eq!(both.same(|instance| instance.update("näme", &body)), Ok(Ok(())));
    });
}

#[test]
fn an_outcome_arrives_whole() {
    let both = RefCell::new(Both::of(&witness()));
    let outcomes = any::<((u64, u64, u16, Option<u32>, u8), (bool, bool, u64, u64, u64))>();
    for_all(250, outcomes, |((id, memo, status, cluster, attempts), (local, aborted, a, b, c))| {
        let outcome =
            Outcome { status, cluster, attempts, local, aborted, total_us: a, upstream_us: b, now_ms: c };
        let mut both = both.borrow_mut();
        assert_eq!(both.same(|instance| instance.on_complete(id, memo, &outcome)), Ok(()));
        // Shows what the outcome left in memory.
        both.same(|instance| instance.on_request_body(0, 0, b"", &mut Known)).unwrap();
    });
}

/// `update` says which address every later allocation is answered with, if any.
#[test]
fn an_allocator_that_lies_is_the_same_fault() {
    let liar = Guest::new()
        .hook("request", all_of_memory())
        .update(
            "(memory.copy (i32.const 7000) (local.get $content) (local.get $content-len)) \
             (call $reset) (i32.const 1200)",
        )
        .misplaces("(select (i32.load (i32.const 7004)) (local.get $at) (i32.load (i32.const 7000)))");
    let both = RefCell::new(Both::of(&liar));
    let end = 2_u32 << 16;
    let places = prop_oneof![0_u32..64, 7_000_u32..8_000, end - 24..end + 24, any::<u32>(), (end - 4)..end];
    for_all(600, (places, views()), |(place, view)| {
        let mut both = both.borrow_mut();
        let content = [1_u32.to_le_bytes(), place.to_le_bytes()].concat();
        if both.same(|instance| instance.update("place", &content)).is_ok() {
            _ = both.same(|instance| instance.on_request(1, &view, &mut Known));
            _ = both.same(|instance| instance.update("place", &[0; 4]));
        }
    });
}

#[test]
fn an_allocator_that_traps_or_never_ends_is_the_same_fault() {
    for code in [
        "unreachable",
        "(loop $l (br $l)) (unreachable)",
        "(call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1))",
    ] {
        // Not before `configure` is done.
        let code =
            format!("(if (result i32) (i32.load (i32.const 7000)) (then {code}) (else (local.get $at)))");
        let guest = Guest::new()
            .hook("request", all_of_memory())
            .update("(i32.store (i32.const 7000) (i32.const 1)) (i32.const 1200)")
            .misplaces(&code);
        let mut both = Both::of(&guest);
        assert_eq!(both.same(|instance| instance.update("now", b"")), Ok(Ok(())));
        let fault = both.same(|instance| instance.on_request(1, &View::new(), &mut Known));
        assert!(matches!(fault, Err(Fault::Trap(_) | Fault::OutOfTime)), "{code}: {fault:?}");
    }
}
