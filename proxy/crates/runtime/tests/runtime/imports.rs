//! Every import, called by a guest: state, rate limits, log, clock, chance, values, metrics, keys.

use std::{borrow::Cow, sync::Arc};

use weir_runtime::{
    BucketSettings, Buckets, Decision, Fault, Instance, Limits, NoValues, ProgramSettings, Values, View,
};

use crate::{
    ask,
    guest::{Guest, body_of, reply},
    log, pass, program_with, settings, start, try_start,
};

const FIND: &str = "(param i32 i32) (result i32)";
const ADD: &str = "(param i32 i64) (result i64)";
/// Address of what an import returned by pointer.
const RETURN: u32 = 5000;

/// Imports all of `state`, and makes the cell "hits" in `configure`.
fn with_state() -> Guest {
    Guest::new()
        .import("state", "cell", FIND)
        .import("state", "load", "(param i32) (result i64)")
        .import("state", "add", ADD)
        .import("state", "compare-exchange", "(param i32 i64 i64 i32)")
        .import("state", "get", "(param i32 i32 i32)")
        .import("state", "put", "(param i32 i32 i32 i32 i32)")
        .data(300, "hitskeyvalue")
        .configure("(drop (call $cell (i32.const 300) (i32.const 4)))")
}

/// Leaves the address of 8 bytes that hold this number, as the body of an answer.
fn number(value: &str) -> String {
    format!("(i64.store (i32.const 6000) {value}) {}", reply("(i32.const 6000)", "(i32.const 8)"))
}

fn asked_number(instance: &mut Instance<NoValues>) -> i64 {
    i64::from_le_bytes(body_of(&ask(instance).unwrap()).try_into().unwrap())
}

#[test]
fn cells_count_over_threads_instances_and_versions() {
    let settings = settings();
    let first = with_state().hook("request", number("(call $add (i32.const 0) (i64.const 3))"));
    let program = program_with::<NoValues>(&first, settings.clone());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (mut instance, _) = program.instantiate("{}").unwrap();
                for _ in 0..5_000 {
                    assert!(asked_number(&mut instance) > 0);
                }
            });
        }
    });
    let second = with_state().hook("request", number("(call $load (i32.const 0))"));
    let (mut instance, _) = try_start(&second, settings.clone()).unwrap();
    assert_eq!(asked_number(&mut instance), 60_000);
    assert_eq!(settings.shared.cell("hits"), Some(60_000));
}

#[test]
fn a_cell_is_exchanged_only_if_it_holds_what_was_expected() {
    // The result of exchanging `$id` for 7: 0, or what the cell held plus 1000.
    let code = format!(
        "(call $compare-exchange (i32.const 0) (local.get $id) (i64.const 7) (i32.const {RETURN})) {}",
        number(&format!(
            "(if (result i64) (i32.load8_u (i32.const {RETURN})) \
             (then (i64.add (i64.load (i32.const {})) (i64.const 1000))) (else (i64.const 0)))",
            RETURN + 8
        ))
    );
    let mut instance = start(&with_state().hook("request", code));
    let mut exchange = |expected: u64| {
        let decision = instance.on_request(expected, &View::new(), &mut NoValues).unwrap();
        i64::from_le_bytes(body_of(&decision).try_into().unwrap())
    };
    assert_eq!([exchange(5), exchange(0), exchange(0), exchange(7)], [1000, 0, 1007, 0]);
}

#[test]
fn keyed_values_are_kept_across_versions() {
    let settings = settings();
    let put = "(call $put (i32.const 304) (i32.const 3) (i32.const 307) (i32.const 5) (i32.const 0)) i32.const 2048";
    let get = format!(
        "(call $get (i32.const 304) (i32.const 3) (i32.const {RETURN})) {}",
        reply(
            &format!("(i32.load (i32.const {}))", RETURN + 4),
            &format!("(i32.mul (i32.load8_u (i32.const {RETURN})) (i32.load (i32.const {})))", RETURN + 8)
        )
    );
    let (mut reader, _) = try_start(&with_state().hook("request", get), settings.clone()).unwrap();
    let (mut writer, _) = try_start(&with_state().hook("request", put), settings.clone()).unwrap();
    assert_eq!(body_of(&ask(&mut reader).unwrap()), b"");
    assert_eq!(ask(&mut writer), Ok(pass()));
    drop(writer);
    assert_eq!(body_of(&ask(&mut reader).unwrap()), b"value");
    assert!(settings.shared.state_bytes() > 8);
}

#[test]
fn a_rate_limit_is_taken_from_by_name() {
    let find = format!(
        "(call $limit (i32.const 300) (i32.const 4) (i32.const {RETURN})) \
         (if (i32.load8_u (i32.const {RETURN})) (then \
           (i32.store (i32.const 4096) (i32.const 1)) \
           (i32.store (i32.const 4100) (i32.load (i32.const {}))) (i32.store (i32.const 4104) (i32.load (i32.const {}))) \
           (return (i32.const 4096))))",
        RETURN + 4,
        RETURN + 8
    );
    let take =
        number("(i64.extend_i32_u (call $take (i32.const 0) (i32.const 304) (i32.const 3) (i32.const 1)))");
    let guest = Guest::new()
        .import("state", "limit", "(param i32 i32 i32)")
        .import("state", "take", "(param i32 i32 i32 i32) (result i32)")
        .data(300, "slowkey")
        .configure(&find)
        .hook("request", take);
    let fault = try_start(&guest, settings()).err();
    assert!(matches!(&fault, Some(Fault::Configure(text)) if text.contains("slow")), "{fault:?}");
    let slow = BucketSettings { name: "slow".into(), per_second: 0.001, burst: 2 };
    let limited = ProgramSettings { buckets: Arc::new(Buckets::new([slow])), ..settings() };
    let (mut instance, _) = try_start(&guest, limited).unwrap();
    assert_eq!([asked_number(&mut instance), asked_number(&mut instance)], [0, 0]);
    let wait_ms = asked_number(&mut instance);
    assert!((900_000..=1_000_000).contains(&wait_ms), "{wait_ms}");
}

#[test]
fn a_metric_is_made_in_configure_and_counted_in_hooks() {
    let settings = settings();
    let guest = Guest::new()
        .import("host", "metric", "(param i32 i32 i32 i32) (result i32)")
        .import("host", "count", "(param i32 i64)")
        .data(300, "denied_requestsWhat was denied.")
        .configure("(drop (call $metric (i32.const 300) (i32.const 15) (i32.const 315) (i32.const 16)))")
        .hook("request", "(call $count (i32.const 0) (i64.const 2)) i32.const 2048");
    let (mut instance, _) = try_start(&guest, settings.clone()).unwrap();
    let (mut other_worker, _) = try_start(&guest, settings.clone()).unwrap();
    ask(&mut instance).unwrap();
    ask(&mut other_worker).unwrap();
    let metrics = settings.shared.metrics();
    assert_eq!(metrics.len(), 1);
    assert_eq!(
        (&*metrics[0].name, &*metrics[0].help, metrics[0].value),
        ("denied_requests", "What was denied.", 4)
    );
}

#[test]
fn what_the_contract_forbids_ends_the_guest_and_is_named() {
    let metric = |guest: Guest| guest.import("host", "metric", "(param i32 i32 i32 i32) (result i32)");
    let hook = |guest: Guest, code: &str| guest.hook("request", format!("{code} i32.const 2048"));
    let in_hook = [
        (
            "metric",
            hook(
                metric(Guest::new()),
                "(drop (call $metric (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))",
            ),
        ),
        (
            "limit",
            hook(
                Guest::new().import("state", "limit", "(param i32 i32 i32)"),
                "(call $limit (i32.const 0) (i32.const 0) (i32.const 5000))",
            ),
        ),
        ("no cell 900", hook(with_state(), "(drop (call $load (i32.const 900)))")),
        (
            "no metric",
            hook(
                Guest::new().import("host", "count", "(param i32 i64)"),
                "(call $count (i32.const 0) (i64.const 1))",
            ),
        ),
        (
            "no limit",
            hook(
                Guest::new().import("state", "take", "(param i32 i32 i32 i32) (result i32)"),
                "(drop (call $take (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1)))",
            ),
        ),
        (
            "no key",
            hook(
                Guest::new().import("crypto", "verify", "(param i32 i32 i32 i32 i32 i32 i32) (result i32)"),
                "(drop (call $verify (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))",
            ),
        ),
    ];
    for (named, guest) in in_hook {
        let fault = ask(&mut start(&guest));
        assert!(matches!(&fault, Err(Fault::Trap(text)) if text.contains(named)), "{named}: {fault:?}");
    }
    let illegal = hook(metric(Guest::new()), "")
        .configure("(drop (call $metric (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))");
    assert!(
        matches!(try_start(&illegal, settings()).err(), Some(Fault::Trap(text)) if text.contains("name"))
    );
    let text_out_of_bounds = hook(with_state(), "(drop (call $cell (i32.const 0x7000_0000) (i32.const 4)))");
    assert!(ask(&mut start(&text_out_of_bounds)).is_err());
}

#[test]
fn clock_and_chance_are_the_worlds() {
    let imports =
        Guest::new().import("host", "now-ms", "(result i64)").import("host", "random", "(result i64)");
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let now = asked_number(&mut start(&imports.clone().hook("request", number("(call $now-ms)"))));
    let after = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    assert!((before..=after).contains(&now));
    let mut chance = start(&imports.hook("request", number("(call $random)")));
    assert_ne!(asked_number(&mut chance), asked_number(&mut chance));
}

#[test]
fn a_line_is_logged_under_the_filters_name() {
    let guest = Guest::new()
        .import("host", "log", "(param i32 i32 i32)")
        .data(300, "two\nlines")
        .hook("request", "(call $log (i32.const 3) (i32.const 300) (i32.const 9)) i32.const 2048");
    let (result, lines) = log::captured(|| ask(&mut start(&guest)));
    assert_eq!(result, Ok(pass()));
    assert_eq!(lines, ["WARN weir::filter filter=test two lines"]);
}

/// An exchange with one value, which counts how often it was asked.
#[derive(Default, Debug, PartialEq)]
struct OneValue(Option<String>);

impl Values for OneValue {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = self.0.as_deref().filter(|_| name == "x-a")?;
        Some(Cow::Borrowed(value.as_bytes()))
    }
}

#[test]
fn a_value_is_fetched_on_demand_for_the_running_exchange_only() {
    let fetch = |id: &str| {
        let code = format!(
            "(call $request-value {id} (i32.const 300) (i32.const 3) (i32.const {RETURN})) {}",
            reply(
                &format!("(i32.load (i32.const {}))", RETURN + 4),
                &format!(
                    "(i32.mul (i32.load8_u (i32.const {RETURN})) (i32.load (i32.const {})))",
                    RETURN + 8
                )
            )
        );
        Guest::new()
            .import("host", "request-value", "(param i64 i32 i32 i32)")
            .data(300, "x-a")
            .hook("request", code)
    };
    let mut values = OneValue(Some("hello".into()));
    let asked = |guest: &Guest, values: &mut OneValue| {
        let program = program_with::<OneValue>(guest, settings());
        let (mut instance, _) = program.instantiate("{}").unwrap();
        body_of(&instance.on_request(42, &View::new(), values).unwrap()).to_vec()
    };
    assert_eq!(asked(&fetch("(local.get $id)"), &mut values), b"hello");
    assert_eq!(values, OneValue(Some("hello".into())), "moved back");
    assert_eq!(asked(&fetch("(i64.const 41)"), &mut values), b"");
    assert_eq!(asked(&fetch("(local.get $id)"), &mut OneValue(None)), b"");
}

#[test]
fn values_come_back_even_from_a_fault() {
    let guest = Guest::new().import("host", "request-value", "(param i64 i32 i32 i32)").hook(
        "request",
        "(call $request-value (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 5000)) unreachable",
    );
    let (mut instance, _) = program_with::<OneValue>(&guest, settings()).instantiate("{}").unwrap();
    let mut values = OneValue(Some("hello".into()));
    assert!(matches!(instance.on_request(1, &View::new(), &mut values), Err(Fault::Trap(_))));
    assert_eq!(values, OneValue(Some("hello".into())));
}

/// 32 bytes of "k".
const SECRET: &str = r#"{"kty":"oct","alg":"HS256","k":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s"}"#;

/// Makes a key of `SECRET` wherever `find` is used; the signature is what `update` brought last.
fn with_key() -> Guest {
    Guest::new()
        .import("crypto", "key", "(param i32 i32 i32)")
        .import("crypto", "forget-keys", "")
        .import("crypto", "verify", "(param i32 i32 i32 i32 i32 i32 i32) (result i32)")
        .data(6400, SECRET)
        .data(300, "HS256message")
        .configure(&format!("(call $key (i32.const 6400) (i32.const {}) (i32.const {RETURN}))", SECRET.len()))
        .update(
            "(memory.copy (i32.const 7000) (local.get $content) (local.get $content-len)) \
             (i32.store (i32.const 6900) (local.get $content-len)) (call $reset) (i32.const 1200)",
        )
}

#[test]
fn a_signature_is_verified_with_a_key_made_before() {
    let verify = "(call $verify (i32.const 0) (i32.const 300) (i32.const 5) (i32.const 305) (i32.const 7) \
                  (i32.const 7000) (i32.load (i32.const 6900)))";
    let guest = with_key().hook("request", number(&format!("(i64.extend_i32_u {verify})")));
    let mut instance = start(&guest);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[b'k'; 32]);
    let tag = aws_lc_rs::hmac::sign(&key, b"message");
    instance.update("tag", tag.as_ref()).unwrap().unwrap();
    assert_eq!(asked_number(&mut instance), 1);
    instance.update("tag", &tag.as_ref()[1..]).unwrap().unwrap();
    assert_eq!(asked_number(&mut instance), 0);
}

#[test]
fn keys_are_bounded_and_can_be_forgotten() {
    let make = format!("(call $key (i32.const 6400) (i32.const {}) (i32.const {RETURN}))", SECRET.len());
    let many = |forget: &str| {
        format!(
            "(local $i i32) (loop $again {make} {forget} \
             (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $again (i32.lt_u (local.get $i) (i32.const 300)))) \
             i32.const 2048"
        )
    };
    let fault = ask(&mut start(&with_key().hook("request", many(""))));
    assert!(matches!(&fault, Err(Fault::Trap(text)) if text.contains("256 keys")), "{fault:?}");
    assert_eq!(ask(&mut start(&with_key().hook("request", many("(call $forget-keys)")))), Ok(pass()));
}

#[test]
fn a_digest_is_the_known_one() {
    let guest = Guest::new().import("crypto", "sha256", "(param i32 i32 i32)").data(300, "abc").hook(
        "request",
        format!(
            "(call $sha256 (i32.const 300) (i32.const 3) (i32.const {RETURN})) {}",
            reply(
                &format!("(i32.load (i32.const {RETURN}))"),
                &format!("(i32.load (i32.const {}))", RETURN + 4)
            )
        ),
    );
    let decision = ask(&mut start(&guest)).unwrap();
    // FIPS 180-2, B.1.
    let hex: String = body_of(&decision).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn an_instance_that_grew_or_is_old_asks_to_be_replaced() {
    let leak = Guest::new().hook("request", "(drop (memory.grow (i32.const 16))) i32.const 2048");
    let mut instance = start(&leak);
    let mut calls = 0;
    while !instance.must_recycle() {
        assert_eq!(ask(&mut instance), Ok(pass()));
        calls += 1;
    }
    assert_eq!(calls, 12, "of 16 MiB, three quarters in steps of one");
    let limits = Limits { calls: 3, ..Limits::default() };
    let (mut instance, _) =
        try_start(&Guest::new().hook("request", "i32.const 2048"), ProgramSettings { limits, ..settings() })
            .unwrap();
    let old_after = (0..10).find(|_| ask(&mut instance).is_err() || instance.must_recycle());
    assert_eq!(old_after, Some(1), "configure counts as a call");
    assert!(matches!(ask(&mut instance), Ok(Decision::Pass(_))));
}
