//! The hook about connections: what it is shown, what it may answer, and guests that know nothing of it.

use weir_runtime::{
    ConnectionView, Fault, HookSet, Lane, NoValues, Verdict, View,
    contract::{Address, Protocol},
};

use crate::{
    ENGINE, ask,
    guest::{DECISION, Guest, PASS},
    pass, settings, start, try_start,
};

/// Code that refuses with the text whose address and length lie at an offset of what the hook was shown.
fn refuse_with(offset: u32) -> String {
    let copy = |to: u32, from: u32| {
        format!("(i32.store (i32.const {}) (i32.load offset={from} (local.get $view)))", DECISION + to)
    };
    format!(
        "(i32.store (i32.const {DECISION}) (i32.const 1)) {} {} (i32.const {DECISION})",
        copy(4, offset),
        copy(8, offset + 4)
    )
}

/// Code that passes to the cluster whose position is a number of what the hook was shown.
fn pass_with(load: &str) -> String {
    format!(
        "(i32.store (i32.const {DECISION}) (i32.const 0)) (i32.store (i32.const {}) (i32.const 1)) \
         (i32.store (i32.const {}) ({load} (local.get $view))) (i32.const {DECISION})",
        DECISION + 4,
        DECISION + 8
    )
}

fn whole() -> ConnectionView<'static> {
    let at = |ip, port| Some(Address { ip, port });
    ConnectionView {
        listener: "db",
        protocol: Protocol::Http2,
        secure: true,
        peer: at("192.0.2.7", 4711),
        local: at("198.51.100.1", 443),
        destination: at("2001:db8::1", 5432),
        sni: Some("db.example"),
        identity: Some("spiffe://td/sa/web"),
    }
}

#[test]
fn every_part_of_a_connection_is_shown() {
    let texts = [
        (0, "db"),
        (16, "192.0.2.7"),
        (32, "198.51.100.1"),
        (48, "2001:db8::1"),
        (64, "db.example"),
        (76, "spiffe://td/sa/web"),
    ];
    for (offset, text) in texts {
        let mut instance = start(&Guest::new().hook("connection", refuse_with(offset)));
        for _ in 0..3 {
            assert_eq!(instance.on_connection(&whole()), Ok(Verdict::Refuse(text.to_owned())));
        }
    }
    let numbers = [
        ("i32.load8_u offset=8", 3),
        ("i32.load8_u offset=9", 1),
        ("i32.load8_u offset=12", 1),
        ("i32.load16_u offset=24", 4711),
        ("i32.load16_u offset=40", 443),
        ("i32.load16_u offset=56", 5432),
        ("i32.load8_u offset=60", 1),
    ];
    for (load, number) in numbers {
        let mut instance = start(&Guest::new().hook("connection", pass_with(load)));
        assert_eq!(instance.on_connection(&whole()), Ok(Verdict::Pass(Some(number))), "{load}");
    }
    for load in [12, 28, 44, 60, 72].map(|offset| format!("i32.load8_u offset={offset}")) {
        let mut instance = start(&Guest::new().hook("connection", pass_with(&load)));
        assert_eq!(instance.on_connection(&ConnectionView::default()), Ok(Verdict::Pass(Some(0))), "{load}");
    }
}

#[test]
fn who_passes_says_nothing_more() {
    let mut instance = start(&Guest::new().hook("connection", format!("i32.const {PASS}")));
    assert_eq!(instance.on_connection(&whole()), Ok(Verdict::Pass(None)));
    let fault = instance.on_request(1, &View::new(), &mut NoValues);
    assert!(matches!(fault, Err(Fault::WrongAnswer(_))), "{fault:?}");
    assert_eq!(instance.on_connection(&whole()), Ok(Verdict::Pass(None)), "nothing was called");
}

#[test]
fn what_is_no_verdict_is_a_wrong_answer() {
    let store = |at: u32, word: u32| format!("(i32.store (i32.const {}) (i32.const {word}))", DECISION + at);
    let cases = [
        ("a variant beyond the last", store(0, 2)),
        ("an option that is neither", store(4, 2)),
        ("a reason out of bounds", store(0, 1) + &store(4, 0x7fff_0000) + &store(8, 9)),
        ("text that is not UTF-8", store(0, 1) + &store(4, DECISION + 60) + &store(8, 1) + &store(60, 0xff)),
    ];
    for (what, code) in cases {
        let guest = Guest::new().hook("connection", format!("{code} (i32.const {DECISION})"));
        let fault = start(&guest).on_connection(&whole());
        assert!(matches!(fault, Err(Fault::WrongAnswer(_))), "{what}: {fault:?}");
    }
    for address in ["0x7fff_fff8", "2049"] {
        let guest = Guest::new().hook("connection", format!("i32.const {address}"));
        let fault = start(&guest).on_connection(&whole());
        assert!(matches!(fault, Err(Fault::WrongAnswer(_))), "{address}: {fault:?}");
    }
}

#[test]
fn a_trap_costs_the_instance_and_a_flood_of_calls_is_stopped() {
    let mut traps = start(&Guest::new().hook("connection", "unreachable"));
    assert!(matches!(traps.on_connection(&whole()), Err(Fault::Trap(_))));
    assert_eq!(traps.on_connection(&whole()), Err(Fault::Poisoned));
    let flood = "(loop $again (drop (call $now-ms)) (br $again)) (unreachable)";
    let guest = Guest::new().import("host", "now-ms", "(result i64)").hook("connection", flood);
    assert_eq!(start(&guest).on_connection(&whole()), Err(Fault::TooManyHostCalls));
}

/// An exchange's values are none of a connection's, whatever number the guest makes up.
#[test]
fn there_are_no_values_on_demand() {
    let code = format!(
        "(call $request-value (i64.const 0) (i32.const 300) (i32.const 5) (i32.const 5000)) \
         (i32.store (i32.const {}) (i32.const 1)) \
         (i32.store (i32.const {}) (i32.load8_u (i32.const 5000))) (i32.const {DECISION})",
        DECISION + 4,
        DECISION + 8
    );
    let guest = Guest::new()
        .import("host", "request-value", "(param i64 i32 i32 i32)")
        .data(300, "known")
        .hook("connection", code);
    assert_eq!(start(&guest).on_connection(&whole()), Ok(Verdict::Pass(Some(0))));
}

#[test]
fn a_filter_that_was_built_before_runs_as_it_did() {
    let guest = Guest::new().hook("request", format!("i32.const {PASS}")).hook("complete", "");
    let former = guest.clone().built_before_connections();
    assert_ne!(guest.build(), former.build());
    for guest in [guest, former] {
        let inspection = weir_runtime::inspect(&guest.build()).unwrap();
        assert_eq!((&inspection.lane, inspection.contract.as_deref()), (&Lane::Direct, Some("0.1.0")));
        let is_direct = ENGINE.load(&guest.build()).unwrap().inspection.lane == Lane::Direct;
        assert_eq!(is_direct, crate::DIRECT);
        let (mut instance, interest) = try_start(&guest, settings()).unwrap();
        assert_eq!(interest.hooks, HookSet::REQUEST.with(HookSet::COMPLETE));
        assert_eq!(ask(&mut instance), Ok(pass()));
        let fault = instance.on_connection(&whole());
        assert!(matches!(fault, Err(Fault::WrongAnswer(_))), "{fault:?}");
        assert_eq!(ask(&mut instance), Ok(pass()));
    }
}

#[test]
fn the_hook_is_wanted_only_by_who_says_so() {
    let guest =
        Guest::new().hook("request", format!("i32.const {PASS}")).hook("connection", "i32.const 2048");
    let (instance, interest) = try_start(&guest.clone().wants(1), settings()).unwrap();
    assert_eq!(interest.hooks, HookSet::REQUEST);
    assert_eq!(instance.program().exports(), HookSet::REQUEST.with(HookSet::CONNECTION));
    let names: Vec<_> = instance.program().exports().names().collect();
    assert_eq!(names, ["connection", "request"]);
    let (_, interest) = try_start(&guest, settings()).unwrap();
    assert_eq!(interest.hooks, HookSet::REQUEST.with(HookSet::CONNECTION));
    let without = Guest::new().hook("request", format!("i32.const {PASS}")).wants(1 | 16);
    let fault = try_start(&without, settings()).err();
    assert!(matches!(&fault, Some(Fault::Configure(text)) if text.contains("connection")), "{fault:?}");
}
