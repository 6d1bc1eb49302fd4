//! Every hook, with guests that keep to the contract: what they see and what comes back.

use std::collections::BTreeSet;

use weir_runtime::{
    Answer, AnswerFailure, Decision, Fault, HookSet, LoadError, NoValues, Outcome, Passage, Program,
    Question, Reply, View,
    contract::{Edit, Fact, Route},
};

use crate::{
    ENGINE, ask,
    guest::{DECISION, Guest, INTEREST, PASS, body_of, reply},
    pass, settings, start, try_start,
};

/// The words of a list of bytes or text at an address.
fn slice(address: u32, text: &str) -> [u32; 2] {
    [address, text.len() as u32]
}

fn words(guest: Guest, at: u32, words: &[u32]) -> Guest {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    guest.bytes(at, &bytes)
}

#[test]
fn a_hook_is_shown_the_view_as_it_was_built() {
    let mut view = View::new();
    view.push(Some(b"/users"));
    view.push(None);
    view.push_joined([&b"a=1"[..], b"b=2"], b"; ");
    let bytes = Guest::new().hook("request", reply("(local.get $bytes)", "(local.get $len)"));
    let at = Guest::new().hook("request", reply("(local.get $at)", "(i32.mul (local.get $n) (i32.const 4))"));
    let shown = start(&bytes).on_request(7, &view, &mut NoValues).unwrap();
    assert_eq!(body_of(&shown), b"/usersa=1; b=2");
    let shown = start(&at).on_request(7, &view, &mut NoValues).unwrap();
    let numbers: Vec<u32> =
        body_of(&shown).chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(numbers, [0, 6, View::ABSENT, 0, 6, 8]);
    assert_eq!(numbers, view.at);
}

#[test]
fn an_instance_answers_again_and_again() {
    let mut instance = start(&Guest::new().hook("request", reply("(local.get $bytes)", "(local.get $len)")));
    let mut view = View::new();
    for round in 0..10_000_u32 {
        view.clear();
        view.push(Some(&round.to_le_bytes()));
        let decision = instance.on_request(u64::from(round), &view, &mut NoValues).unwrap();
        assert_eq!(body_of(&decision), round.to_le_bytes());
    }
    assert_eq!(instance.calls(), 10_001);
    assert_eq!(instance.memory_bytes(), 128 << 10);
    assert!(!instance.must_recycle());
}

#[test]
fn a_passage_comes_back_whole() {
    let guest = Guest::new().hook("request", format!("i32.const {DECISION}"));
    let mut texts = String::new();
    let mut text = |text: &str| {
        texts.push_str(text);
        slice(300 + (texts.len() - text.len()) as u32, text)
    };
    let [x, yes, gone, subject, me] = ["x-a", "yes", "gone", "auth.subject", "me"].map(&mut text);
    let [version, v2, path, host, name] = ["version", "v2", "/p?q", "h.example", "users"].map(&mut text);
    let edits: Vec<u32> =
        [[0, x[0], x[1], yes[0], yes[1]], [1, x[0], x[1], yes[0], yes[1]], [2, gone[0], gone[1], 0, 0]]
            .concat();
    let guest = guest.data(300, &texts);
    let guest = words(guest, 600, &edits);
    let guest = words(guest, 700, &[version, v2].concat());
    let guest = words(guest, 720, &[subject, me].concat());
    let route = [
        &[1, 3][..],                       // cluster
        &[700, 1],                         // subset
        &[1, path[0], path[1]],            // path
        &[1, host[0], host[1]],            // authority
        &[1, 2000],                        // timeout-ms
        &[0x0401, 0],                      // retries, padding
        &[1, 0, 0x89ab_cdef, 0x0123_4567], // hash
        &[1, 4],                           // mirror
        &[1, name[0], name[1], 0],         // name
    ]
    .concat();
    let passage = [&[600, 3, 1, 0][..], &route, &[720, 1, 9, 1, 5000, 250]].concat();
    let guest = words(guest, DECISION + 8, &passage);
    let expected = Passage {
        edits: vec![
            Edit::Set(("x-a".into(), b"yes".into())),
            Edit::Append(("x-a".into(), b"yes".into())),
            Edit::Remove("gone".into()),
        ],
        route: Some(Route {
            cluster: Some(3),
            subset: vec![("version".into(), "v2".into())],
            path: Some(b"/p?q".into()),
            authority: Some("h.example".into()),
            timeout_ms: Some(2000),
            retries: Some(4),
            hash: Some(0x0123_4567_89ab_cdef),
            mirror: Some(4),
            name: Some("users".into()),
        }),
        facts: vec![Fact { name: "auth.subject".into(), value: "me".into() }],
        memo: 1 << 32 | 9,
        keep_ms: 5000,
        delay_ms: 250,
    };
    assert_eq!(ask(&mut start(&guest)), Ok(Decision::Pass(expected)));
}

#[test]
fn a_reply_and_a_question_come_back_whole() {
    let field = |guest: Guest| words(guest, 700, &[300, 4, 304, 1]).data(300, "name=get/pathbodyword");
    let decision = |words_of: &[u32]| {
        let guest =
            Guest::new().hook("request", format!("i32.const {DECISION}")).hook("answer", "i32.const 2048");
        words(field(guest), DECISION, words_of)
    };
    let reply = decision(&[1, 0, 403, 700, 1, 313, 4, 317, 4, 60]);
    let expected = Reply {
        status: 403,
        fields: vec![("name".into(), b"=".into())],
        body: b"body".into(),
        reason: "word".into(),
        keep_ms: 60,
    };
    assert_eq!(ask(&mut start(&reply)), Ok(Decision::Answer(expected)));
    let question = decision(&[2, 0, 5, 305, 3, 308, 5, 700, 1, 313, 4, 750, 317, 4]);
    let expected = Question {
        cluster: 5,
        method: "get".into(),
        path: "/path".into(),
        fields: vec![("name".into(), b"=".into())],
        body: b"body".into(),
        timeout_ms: 750,
        memo: b"word".into(),
    };
    assert_eq!(ask(&mut start(&question)), Ok(Decision::Ask(expected)));
}

#[test]
fn the_body_and_the_memo_reach_the_body_hook() {
    let guest = Guest::new().hook(
        "request-body",
        format!(
            "(if (i64.ne (local.get $memo) (i64.const 0x1_0000_0002)) (then (unreachable))) {}",
            reply("(local.get $body)", "(local.get $len)")
        ),
    );
    let body = vec![b'x'; 1 << 20];
    let decision = start(&guest).on_request_body(1, 1 << 32 | 2, &body, &mut NoValues).unwrap();
    assert_eq!(body_of(&decision), body);
}

#[test]
fn an_answer_and_each_failure_reach_the_answer_hook() {
    let echo = "(i32.store16 (i32.const 4104) (select (i32.add (local.get $status) (i32.const 500)) (local.get $status) (local.get $failed)))";
    let guest = Guest::new().hook(
        "answer",
        format!(
            "{} (drop) {echo} (i32.const {DECISION})",
            reply("(local.get $memo)", "(local.get $memo-len)")
        ),
    );
    let mut instance = start(&guest);
    let mut status = |answer| {
        let Decision::Answer(reply) = instance.on_answer(1, b"memo", answer, &mut NoValues).unwrap() else {
            panic!("no answer")
        };
        assert_eq!(reply.body, b"memo");
        reply.status
    };
    let answer = Answer { status: 207, fields: vec![("a".into(), b"b".into())], body: b"hello".into() };
    assert_eq!(status(Ok(answer)), 207);
    let failures =
        [AnswerFailure::Timeout, AnswerFailure::Unreachable, AnswerFailure::Refused, AnswerFailure::TooLarge];
    assert_eq!(failures.map(|failure| status(Err(failure))), [500, 501, 502, 503]);
}

#[test]
fn status_and_view_reach_the_response_hook() {
    let guest = Guest::new().hook(
        "response",
        format!(
            "{} (drop) (i32.store16 (i32.const 4104) (local.get $status)) (i32.const {DECISION})",
            reply("(local.get $bytes)", "(local.get $len)")
        ),
    );
    let mut view = View::new();
    view.push(Some(b"text/plain"));
    let decision = start(&guest).on_response(1, 0, 418, &view, &mut NoValues).unwrap();
    let Decision::Answer(reply) = decision else { panic!("no answer") };
    assert_eq!((reply.status, &*reply.body), (418, &b"text/plain"[..]));
}

#[test]
fn the_outcome_reaches_the_complete_hook() {
    let sum = "(i64.extend_i32_u (i32.add (local.get $status) (i32.add (i32.mul (local.get $has-cluster) (local.get $cluster)) (i32.add (local.get $attempts) (i32.add (local.get $local) (local.get $aborted))))))";
    let guest = Guest::new()
        .import("state", "cell", "(param i32 i32) (result i32)")
        .import("state", "add", "(param i32 i64) (result i64)")
        .data(300, "sum")
        .configure("(drop (call $cell (i32.const 300) (i32.const 3)))")
        .hook(
            "complete",
            format!(
                "(drop (call $add (i32.const 0) (i64.add {sum} (i64.add (local.get $now-ms) (i64.add (local.get $total-us) (local.get $upstream-us))))))"
            ),
        )
        .hook("request", "(drop (call $add (i32.const 0) (i64.const 0))) i32.const 2048");
    let mut instance = start(&guest);
    let outcome = Outcome {
        status: 200,
        cluster: Some(1_000),
        attempts: 3,
        local: true,
        aborted: true,
        total_us: 10_000,
        upstream_us: 100_000,
        now_ms: 1_000_000,
    };
    instance.on_complete(1, 0, &outcome).unwrap();
    instance.on_complete(1, 0, &Outcome { cluster: None, ..outcome }).unwrap();
    let of_filter = instance.program().shared().cell("sum");
    assert_eq!(of_filter, Some(1_111_205 + 1_110_205));
}

#[test]
fn configure_says_what_the_filter_wants() {
    let guest = Guest::new().hook("request", "i32.const 2048").hook("complete", "");
    // when: [{":path", starts-with("/a")}, {"x", absent}], request: [":path"], response: ["x"],
    // clusters: ["users"], body-limit: 77.
    let guest = words(guest.data(300, ":path/ausersx"), 700, &[300, 5, 3, 305, 2, 312, 1, 1, 0, 0]);
    let guest = words(words(guest, 760, &[300, 5]), 768, &[312, 1]);
    let guest = words(guest, 776, &[307, 5]);
    let guest = words(guest, INTEREST + 8, &[700, 2, 760, 1, 768, 1, 776, 1, 77]);
    let (instance, interest) = try_start(&guest, settings()).unwrap();
    assert_eq!(interest.hooks, HookSet::REQUEST.with(HookSet::COMPLETE));
    assert_eq!(instance.program().exports(), interest.hooks);
    assert_eq!(interest.request, [":path"]);
    assert_eq!(interest.response, ["x"]);
    assert_eq!(interest.clusters, ["users"]);
    assert_eq!(interest.body_limit, 77);
    let when = format!("{:?}", interest.when);
    assert!(when.contains("StartsWith(\"/a\")") && when.contains("Absent"), "{when}");
}

#[test]
fn configure_and_update_are_told_names_and_contents_and_may_refuse() {
    // Fails with the text it was given.
    let refuse = |pointer: &str, length: &str| {
        format!(
            "(i32.store (i32.const {DECISION}) (i32.const 1)) (i32.store (i32.const 4100) (local.get {pointer})) \
             (i32.store (i32.const 4104) (local.get {length})) (return (i32.const {DECISION}))"
        )
    };
    let guest = Guest::new().hook("request", "i32.const 2048");
    let by_name = guest.clone().configure(&refuse("$name", "$name-len"));
    assert_eq!(try_start(&by_name, settings()).err(), Some(Fault::Configure("test".into())));
    let by_json = guest.clone().configure(&refuse("$json", "$json-len"));
    assert_eq!(try_start(&by_json, settings()).err(), Some(Fault::Configure("{}".into())));
    let mut update =
        start(&guest.clone().update(&format!("{} unreachable", refuse("$content", "$content-len"))));
    assert_eq!(update.update("keys", b"bad keys"), Ok(Err("bad keys".into())));
    assert_eq!(ask(&mut update), Ok(pass()), "a refused update harms nothing");
    let mut named = start(&guest.clone().update(&format!("{} unreachable", refuse("$name", "$name-len"))));
    assert_eq!(named.update("keys", b""), Ok(Err("keys".into())));
    assert_eq!(start(&guest).update("keys", b"good"), Ok(Ok(())));
}

#[test]
fn a_hook_that_is_wanted_must_be_exported() {
    let guest = Guest::new().hook("request", "i32.const 2048").wants(1 | 4);
    let fault = try_start(&guest, settings()).err();
    assert!(matches!(&fault, Some(Fault::Configure(text)) if text.contains("response")), "{fault:?}");
}

#[test]
fn a_hook_that_is_not_exported_cannot_be_called() {
    let mut instance = start(&Guest::new().hook("request", "i32.const 2048"));
    let fault = instance.on_complete(1, 0, &Outcome::default());
    assert!(matches!(fault, Err(Fault::WrongAnswer(_))));
    assert_eq!(ask(&mut instance), Ok(pass()));
}

#[test]
fn a_filter_is_known_before_it_is_compiled() {
    let guest = Guest::new()
        .import("host", "now-ms", "(result i64)")
        .hook("request", "(drop (call $now-ms)) i32.const 2048")
        .hook("answer", "i32.const 2048");
    let bytes = guest.build();
    let seen = weir_runtime::inspect(&bytes).unwrap();
    assert_eq!(seen.kind, weir_runtime::Kind::Policy);
    assert_eq!(seen.hooks, HookSet::REQUEST.with(HookSet::ANSWER));
    assert_eq!(seen.contract.as_deref(), Some("0.1.0"));
    let imports: BTreeSet<&str> = seen.imports.iter().map(String::as_str).collect();
    assert!(imports.contains("weir:policy/host@0.1.0"), "{imports:?}");
    assert!(!imports.contains("weir:policy/state@0.1.0"), "{imports:?}");
    assert_eq!((seen.core, seen.core_modules, seen.size), (true, 1, bytes.len()));
    let artifact = ENGINE.load(&bytes).unwrap();
    assert_eq!(artifact.sha256, seen.sha256);
    assert_eq!(artifact.exports, seen.hooks);
}

#[test]
fn what_is_no_policy_is_refused_with_the_reason() {
    let refused = |wat: &str| ENGINE.load(&wat::parse_str(wat).unwrap()).unwrap_err().to_string();
    assert!(matches!(ENGINE.load(b""), Err(LoadError::NotWasm(_))));
    assert!(matches!(ENGINE.load(b"\0asm\x01\0\0\0\xff"), Err(LoadError::NotWasm(_))));
    assert!(refused("(module)").contains("weir:policy/lifecycle"));
    assert!(refused("(component)").contains("weir:policy/lifecycle"));
    assert!(refused(r#"(module (func (export "proxy_abi_version_0_2_1")))"#).contains("proxy-wasm"));
    let other = |name: &str| format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#);
    assert!(refused(&other("wasi:http/incoming-handler@0.2.3")).contains("wasi:http"));
    assert!(refused(&other("weir:policy/lifecycle@0.9.0")).contains("0.9.0"));
    let foreign = r#"(component (import "a:b/c" (instance)) (instance $i) (export "weir:policy/lifecycle@0.1.0" (instance $i)))"#;
    assert!(refused(foreign).contains("a:b/c"));
    let hollow = ENGINE.load(&wat::parse_str(other("weir:policy/lifecycle@0.1.0")).unwrap()).unwrap();
    let refused = Program::<NoValues>::new(&ENGINE, &hollow, settings()).err();
    assert!(matches!(&refused, Some(LoadError::Invalid(text)) if text.contains("configure")), "{refused:?}");
}

#[test]
fn nothing_stays_alive_behind_its_owner() {
    let engine = weir_runtime::Engine::new(Default::default()).unwrap();
    let artifact = engine.load(&Guest::new().hook("request", format!("i32.const {PASS}")).build()).unwrap();
    for _generation in 0..3 {
        let program = Program::<NoValues>::new(&engine, &artifact, settings()).unwrap();
        let instances = [(); 4].map(|()| program.instantiate("{}").unwrap().0);
        assert_eq!((engine.live_programs(), engine.live_instances()), (1, 4));
        drop(program);
        assert_eq!((engine.live_programs(), engine.live_instances()), (1, 4), "instances keep their program");
        drop(instances);
        assert_eq!((engine.live_programs(), engine.live_instances()), (0, 0));
    }
}
