//! A filter with every hook and import: each value crosses as the contract says.

use weir_runtime::contract::{Address, Edit, Fact, Protocol, Route};
use weir_runtime::{
    Answer, AnswerFailure, ConnectionView, Decision, Fault, HookSet, Instance, Interest, Passage, Verdict,
    View,
};

use super::{Agent, body, outcome, program, request};

fn everything() -> (Instance<Agent>, Interest) {
    let (mut instance, interest) =
        program("weir-sdk-fixture").instantiate(r#"{"cluster":"origin"}"#).unwrap();
    instance.update("word", b"first").unwrap().unwrap();
    (instance, interest)
}

#[test]
fn the_interest_is_what_setup_was_told() {
    let (_, interest) = everything();
    assert_eq!(interest.request, [":path", "cookie", "@auth.subject", "@time.ms"]);
    assert_eq!(
        (interest.response, interest.clusters),
        (vec!["server".to_owned()], vec!["origin".to_owned()])
    );
    assert_eq!((interest.when.len(), interest.body_limit), (1, 16));
    assert!(interest.hooks.contains(HookSet::REQUEST) && interest.hooks.contains(HookSet::COMPLETE));
    let refused = program("weir-sdk-fixture").instantiate("{}").err().unwrap();
    assert!(matches!(&refused, Fault::Configure(text) if text.contains("cluster")), "{refused:?}");
}

#[test]
fn a_connection_crosses_whole_and_the_verdict_comes_back() {
    let (mut instance, interest) = everything();
    assert!(interest.hooks.contains(HookSet::CONNECTION));
    let mut judged = |view: ConnectionView<'_>| instance.on_connection(&view).unwrap();
    let sni = |name| ConnectionView { listener: "web", sni: Some(name), ..ConnectionView::default() };
    assert_eq!(judged(ConnectionView::default()), Verdict::Pass(None));
    assert_eq!(judged(sni("to.test")), Verdict::Pass(Some(0)));
    let at = |ip, port| Some(Address { ip, port });
    let whole = ConnectionView {
        protocol: Protocol::Http2,
        secure: true,
        peer: at("192.0.2.7", 4711),
        local: at("::1", 443),
        identity: Some("spiffe://td/a"),
        ..sni("shown.test")
    };
    let shown = r#"Connection { listener: "web", protocol: Http2, secure: true, peer: Some(Address { ip: "192.0.2.7", port: 4711 }), local: Some(Address { ip: "::1", port: 443 }), destination: None, sni: Some("shown.test"), identity: Some("spiffe://td/a") }"#;
    for _ in 0..3 {
        assert_eq!(judged(whole), Verdict::Refuse(shown.to_owned()));
        assert_eq!(judged(sni("to.test")), Verdict::Pass(Some(0)));
    }
    assert!(matches!(instance.on_connection(&sni("panic.test")), Err(Fault::Trap(_))));
}

#[test]
fn a_passage_arrives_with_everything_it_says() {
    let (mut instance, _) = everything();
    let expected = Passage {
        edits: vec![
            Edit::Set(("x-set".into(), b"1".to_vec())),
            Edit::Append(("x-append".into(), b"2".to_vec())),
            Edit::Remove("x-remove".into()),
        ],
        route: Some(Route {
            cluster: Some(0),
            subset: vec![("version".into(), "v2".into()), ("zone".into(), "a".into())],
            path: Some(b"/rewritten?q=1".to_vec()),
            authority: Some("other.test".into()),
            timeout_ms: Some(1_500),
            retries: Some(3),
            hash: Some(0x0123_4567_89ab_cdef),
            mirror: Some(0),
            name: Some("everything".into()),
        }),
        facts: vec![
            Fact { name: "first".into(), value: "one".into() },
            Fact { name: "second".into(), value: "two".into() },
        ],
        memo: u64::MAX - 1,
        keep_ms: 60_000,
        delay_ms: 250,
    };
    let decision = request(&mut instance, &[Some(b"/everything"), None, None, None]).unwrap();
    assert_eq!(decision, Decision::Pass(expected));
}

#[test]
fn values_arrive_whole_however_large() {
    let (mut instance, _) = everything();
    let large = vec![b'c'; 300_000];
    let settled = instance.memory_bytes() + 2 * large.len() + (64 << 10);
    for cookie in [&b"a=1"[..], b"", &large].into_iter().cycle().take(300) {
        let decision = request(&mut instance, &[Some(b"/cookie"), Some(cookie), None, None]).unwrap();
        assert_eq!(body(decision), cookie);
    }
    assert!(instance.memory_bytes() <= settled + large.len(), "memory grew to {}", instance.memory_bytes());
    let none = request(&mut instance, &[Some(b"/cookie"), None, None, None]).unwrap();
    assert_eq!(body(none), b"none");
}

#[test]
fn every_import_is_answered() {
    let (mut instance, _) = everything();
    let answer = request(&mut instance, &[Some(b"/host"), None, None, None]).unwrap();
    let expected =
        r#"Err(0) Ok(()) Some([118, 97, 108, 117, 101]) None baad true false true Some(Ok("test")) true"#;
    assert_eq!(String::from_utf8(body(answer)).unwrap(), expected);
}

#[test]
fn every_hook_is_called_and_answers() {
    let (mut instance, _) = everything();
    let evil = instance.on_request_body(7, 5, b"evil", &mut Agent).unwrap();
    assert!(matches!(evil, Decision::Answer(reply) if reply.reason == "evil"));
    let good = instance.on_request_body(7, 5, b"good", &mut Agent).unwrap();
    assert!(matches!(good, Decision::Pass(passage) if passage.memo == 5));
    let asked = request(&mut instance, &[Some(b"/ask"), None, None, None]).unwrap();
    assert!(
        matches!(asked, Decision::Ask(question) if question.memo == b"asked" && question.path == "/verdict")
    );
    let answer = Answer { status: 200, fields: vec![("a".into(), b"b".to_vec())], body: b"yes".to_vec() };
    let answered = instance.on_answer(7, b"asked", Ok(answer), &mut Agent).unwrap();
    let verdict = Edit::Set(("x-verdict".into(), b"yes".to_vec()));
    assert!(matches!(answered, Decision::Pass(passage) if passage.edits == [verdict]));
    for (failure, status) in
        [(AnswerFailure::Timeout, 504), (AnswerFailure::Unreachable, 503), (AnswerFailure::TooLarge, 503)]
    {
        let decision = instance.on_answer(7, b"asked", Err(failure), &mut Agent).unwrap();
        assert!(matches!(decision, Decision::Answer(reply) if reply.status == status));
    }
    let mut view = View::new();
    view.push(Some(b"origin"));
    let response = instance.on_response(7, 6, 200, &view, &mut Agent).unwrap();
    assert!(matches!(response, Decision::Pass(passage) if passage.memo == 6));
    instance.on_complete(7, 7, &outcome(200)).unwrap();
    assert_eq!(instance.program().shared().metrics()[0].value, 1);
    assert_eq!(instance.update("word", &[0xff]).unwrap().map_err(|_| ()), Err(()));
    assert_eq!(instance.update("another", b"").unwrap(), Err("no data \"another\"".to_owned()));
}

#[test]
fn a_panic_is_a_trap() {
    let (mut instance, _) = everything();
    let fault = request(&mut instance, &[Some(b"/panic"), None, None, None]).err().unwrap();
    assert!(matches!(fault, Fault::Trap(_)), "{fault:?}");
}
