//! A filter with every hook, driven through the native harness.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use serde_json::json;
use weir_sdk::testing::Filter;
use weir_sdk::{
    AnswerFailure, Connection, Decision, Hooks, Level, NoConfig, Outcome, Policy, Protocol, Request, Setup,
    Verdict,
};
use weir_sdk_fixture::Everything;

fn everything() -> Filter<Everything> {
    let builder = Filter::<Everything>::builder().clusters(["origin"]).limit("callers", 1.0, 10);
    builder.data("word", "first").build(json!({ "cluster": "origin" })).unwrap()
}

fn body(decision: &Decision) -> String {
    String::from_utf8(decision.reply().unwrap().body.to_vec()).unwrap()
}

#[test]
fn the_attribute_sees_which_hooks_are_written() {
    struct Half;
    #[weir_sdk::filter]
    impl Policy for Half {
        fn configure(_: NoConfig, _: &mut Setup) -> Result<Self, String> {
            Ok(Half)
        }
        fn on_complete(&mut self, _: &Outcome) {}
    }
    assert_eq!(Half::HOOKS, Hooks::COMPLETE);
    assert!(Everything::HOOKS.contains(Hooks::REQUEST.with(Hooks::REQUEST_BODY).with(Hooks::ANSWER)));
    assert!(Filter::<Half>::new(json!({})).is_ok());
    assert!(Filter::<Half>::new(json!({ "a": 1 })).is_err());
}

#[test]
fn a_connection_is_shown_as_it_was_built() {
    struct Door(bool);
    #[weir_sdk::filter]
    impl Policy for Door {
        fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
            setup.cluster("back");
            Ok(Door(true))
        }
        fn on_connection(&mut self, connection: &Connection<'_>) -> Verdict {
            let is_whole = (connection.listener(), connection.protocol()) == ("edge", Protocol::Http2)
                && connection.is_secure()
                && connection.peer().is_some_and(|peer| (peer.ip, peer.port) == ("192.0.2.7", 4711))
                && connection.local().is_some_and(|local| (local.ip, local.port) == ("::1", 443))
                && connection.destination().is_some_and(|to| (to.ip, to.port) == ("10.0.0.1", 5432))
                && (connection.sni(), connection.identity()) == (Some("a.test"), Some("spiffe://td/a"));
            if is_whole && self.0 { Verdict::pass() } else { Verdict::refuse("not whole") }
        }
    }
    assert_eq!(Door::HOOKS, Hooks::CONNECTION);
    let filter = Filter::<Door>::new(json!({})).unwrap();
    let whole = filter.connection().listener("edge").protocol(Protocol::Http2).peer("192.0.2.7", 4711);
    let whole = whole.local("::1", 443).destination("10.0.0.1", 5432).sni("a.test").identity("spiffe://td/a");
    assert_eq!(whole.send(), Verdict::pass());
    let plain = filter.connection().unix().send();
    assert_eq!((plain.passes(), plain.reason()), (false, Some("not whole")));
}

#[test]
fn a_connection_goes_where_the_filter_says() {
    let filter = everything();
    let cluster = filter.cluster("origin");
    let to = filter.connection().sni("to.test").send();
    assert_eq!((to.passes(), to.cluster()), (true, Some(cluster)));
    assert_eq!(filter.connection().send(), Verdict::pass());
    // Whoever does without the hook is not asked.
    struct Without;
    #[weir_sdk::filter]
    impl Policy for Without {
        fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
            setup.without(Hooks::CONNECTION);
            Ok(Without)
        }
        fn on_connection(&mut self, _: &Connection<'_>) -> Verdict {
            Verdict::refuse("asked")
        }
    }
    assert_eq!(Filter::<Without>::new(json!({})).unwrap().connection().send(), Verdict::pass());
}

#[test]
fn decisions_compare_as_values() {
    let filter = everything();
    let cluster = filter.cluster("origin");
    let expected = Decision::pass().to(cluster).fact("seen", "yes").memo(7).keep(Duration::from_secs(1));
    assert_eq!(filter.request().path("/x").send(), Decision::from(expected));
    assert_eq!(filter.cell("passed"), 1);
}

#[test]
fn values_are_shown_by_name_joined_and_absent() {
    let filter = everything();
    let cookies = filter.request().path("/cookie").header("Cookie", "a=1").header("cookie", "b=2").send();
    assert_eq!(body(&cookies), "a=1; b=2");
    assert_eq!(body(&filter.request().path("/cookie?q").send()), "none");
    let known = filter.request().path("/subject").fact("auth.subject", "ann").begin();
    assert_eq!(known.request_header("x-subject").as_deref(), Some("ann"));
    filter.set_now_ms(12);
    assert_eq!(body(&filter.request().path("/time").send()), "12");
    assert_eq!(body(&filter.request().path("/agent").header("user-agent", "test").send()), "test");
}

#[test]
fn a_question_is_answered_or_not() {
    let filter = everything();
    let mut asked = filter.request().path("/ask").begin();
    assert_eq!(asked.decision().question().unwrap().path, "/verdict");
    assert!(asked.answered(200, &[], "good").passage().is_some());
    assert_eq!(asked.request_header("x-verdict").as_deref(), Some("good"));
    let mut late = filter.request().path("/ask").begin();
    assert_eq!(late.unanswered(AnswerFailure::Timeout).status(), Some(504));
}

#[test]
fn a_body_is_shown_after_the_head_passed_and_within_its_limit() {
    let filter = everything();
    assert_eq!(filter.request().body("evil").begin().decision().reason(), Some("evil"));
    assert!(filter.request().body("good").begin().passed());
    assert_eq!(filter.request().body([0; 17]).begin().decision().status(), Some(413));
}

#[test]
fn an_exchange_runs_to_its_end() {
    let filter = everything();
    let mut first = filter.request().begin();
    let mut second = filter.request().begin();
    assert_eq!(first.respond(200, &[("Server", "origin")]), Decision::pass().remove("server").memo(7).into());
    assert_eq!(second.respond(200, &[]).reason(), Some("anonymous"));
    second.end(502);
    first.end(200);
    assert_eq!(filter.metric("ended"), 2);
}

#[test]
fn a_hook_left_out_is_not_called() {
    let filter = Filter::<Everything>::builder().limit("callers", 1.0, 10);
    let filter = filter.build(json!({ "cluster": "origin", "quiet": true })).unwrap();
    assert!(filter.request().begin().respond(200, &[]).passage().is_some());
}

#[test]
fn limits_fill_with_the_clock_and_are_shared_by_instances() {
    let filter = everything();
    let other = filter.another().unwrap();
    for _ in 0..5 {
        assert!(filter.request().send().passage().is_some());
        assert!(other.request().send().passage().is_some());
    }
    assert_eq!(filter.request().send().status(), Some(429));
    filter.advance(Duration::from_secs(1));
    assert!(other.request().send().passage().is_some());
    assert_eq!(filter.cell("passed"), 11);
}

#[test]
fn data_arrives_before_the_first_hook_and_again() {
    let filter = everything();
    assert_eq!(body(&filter.request().path("/word").send()), "first");
    filter.update("word", "second").unwrap();
    assert_eq!(body(&filter.request().path("/word").send()), "second");
    assert!(filter.update("word", [0xff]).is_err());
    assert_eq!(body(&filter.request().path("/word").send()), "second");
}

#[test]
fn every_import_is_answered() {
    let filter = everything();
    let decision = filter.request().path("/host").header("user-agent", "test").send();
    let expected =
        r#"Err(0) Ok(()) Some([118, 97, 108, 117, 101]) None baad true false true Some(Ok("test")) true"#;
    assert_eq!(body(&decision), expected);
    assert_eq!(filter.cell("passed"), 5);
    assert_eq!(filter.log_lines(), [(Level::Info, "asked by 1".to_owned())]);
}

#[test]
fn clusters_that_config_does_not_know_fail_the_filter() {
    let builder = Filter::<Everything>::builder().clusters(["another"]).limit("callers", 1.0, 1);
    let Err(error) = builder.build(json!({ "cluster": "origin" })) else { panic!("it was configured") };
    assert!(error.contains("origin"), "{error}");
}

#[test]
#[should_panic(expected = "the proxy's to write")]
fn a_wrong_answer_panics() {
    struct Wrong;
    #[weir_sdk::filter]
    impl Policy for Wrong {
        fn configure(_: NoConfig, _: &mut Setup) -> Result<Self, String> {
            Ok(Wrong)
        }
        fn on_request(&mut self, _: &Request<'_>) -> Decision {
            Decision::pass().set("content-length", "1").into()
        }
    }
    Filter::<Wrong>::new(json!({})).unwrap().request().send();
}
