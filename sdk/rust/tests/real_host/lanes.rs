//! The filters that come with Weir, and those that tests are made with, called directly and as components: for the
//! same exchanges they decide the same.

use std::{cell::RefCell, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRng, TestRunner},
};
use weir_runtime::{
    Answer, AnswerFailure, BucketSettings, Buckets, ConnectionView, Decision, Engine, EngineSettings, Fault,
    HookSet, Instance, Interest, Lane, Limits, Outcome, Program, ProgramSettings, Shared, SharedSettings,
    View,
    contract::{Address, Protocol},
};
use weir_testkit::build_guest;

use super::Agent;

/// Package and configuration. Between them they use every hook and every import.
const FILTERS: [(&str, &str); 10] = [
    (
        "weir-filter-router",
        r#"{"routes":[
            {"name":"users","match":{"host":"a.test","path_prefix":"/users"},"cluster":"users"},
            {"name":"any","match":{"path_regex":"^/[a-z]+$"},"cluster":"other"}]}"#,
    ),
    (
        "weir-filter-jwt",
        r#"{"secret":"01234567890123456789012345678901","audience":"users",
            "facts":{"subject":"sub"},"headers":{"x-user":"sub"}}"#,
    ),
    (
        "weir-filter-rbac",
        r#"{"deny":[{"name":"no-answer","path_prefix":"/answer"}],
            "allow":[{"name":"users","path_prefix":"/users","headers":{"authorization":{"present":true}}},
            {"name":"known","from":"anonymous","facts":{"auth.role":{"prefix":"a"}}}]}"#,
    ),
    (
        "weir-filter-rbac",
        r#"{"connection":true,"deny":[{"name":"guests","address":["10.0.0.0/9","2001:db8::/32"]}],
            "allow":[{"name":"web","from":"spiffe://td/ns/*"},{"name":"db","sni":"*.test","listener":"db"}]}"#,
    ),
    (
        "weir-filter-canary",
        r#"{"cluster":"users","sticky":{"header":"x-user"},
            "versions":[{"label":"v1","weight":90},{"label":"v2","weight":10}]}"#,
    ),
    (
        "weir-filter-canary",
        r#"{"cluster":"users","versions":[{"label":"v1","weight":50},{"label":"v2","weight":50}]}"#,
    ),
    ("weir-filter-circuit-breaker", r#"{"cluster":"users","open_for":"60s"}"#),
    (
        "weir-guest-puppet",
        r#"{"clusters":["users"],"request":[":path"],"response":["x-a-response"],"limit":"callers",
            "connections":{"":"to 0","to.test":"to 7","shown.test":"show","panic.test":"refuse as asked"}}"#,
    ),
    ("weir-guest-hostile", r#"{"cluster":"users","bodies":true,"connections":true}"#),
    ("weir-sdk-fixture", r#"{"cluster":"users"}"#),
];

/// What an exchange shows, by name.
#[derive(Debug, Clone)]
struct Shown {
    path: String,
    authorization: Option<String>,
    script: Option<String>,
    other: Option<Vec<u8>>,
    number: u64,
}

impl Shown {
    fn value(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            ":path" => Some(self.path.clone().into_bytes()),
            ":authority" => Some(b"a.test".to_vec()),
            "@route.cluster" => Some(b"users".to_vec()),
            "@time.ms" | "@random" => Some(self.number.to_le_bytes().to_vec()),
            // Who is nobody is drawn by lot.
            "x-user" => Some(format!("user-{}", self.number).into_bytes()),
            "authorization" => self.authorization.clone().map(String::into_bytes),
            "x-a" | "x-a-response" | "x-misdeed" => self.script.clone().map(String::into_bytes),
            _ => self.other.clone(),
        }
    }

    /// The connection that such an exchange might come on.
    fn connection(&self) -> ConnectionView<'_> {
        let one_of = |texts: &[&'static str]| texts[(self.number % texts.len() as u64) as usize];
        let ip = one_of(&["10.1.2.3", "10.200.0.1", "2001:db8::1", "fd00::1"]);
        let sni =
            one_of(&["to.test", "shown.test", "panic.test", "", "giant.test", "trap.test", "astray.test"]);
        ConnectionView {
            listener: one_of(&["db", "web"]),
            protocol: if self.number & 8 == 0 { Protocol::Tcp } else { Protocol::Http2 },
            secure: self.number & 16 == 0,
            peer: (self.number & 32 == 0).then_some(Address { ip, port: self.number as u16 }),
            sni: Some(sni).filter(|sni| !sni.is_empty()),
            identity: if self.number & 64 == 0 {
                Some("spiffe://td/ns/x")
            } else {
                self.authorization.as_deref()
            },
            ..ConnectionView::default()
        }
    }

    fn view(&self, names: &[String]) -> View {
        let mut view = View::new();
        names.iter().for_each(|name| view.push(self.value(name).as_deref()));
        view
    }
}

#[derive(Debug, Clone)]
struct Exchange {
    id: u64,
    shown: Shown,
    memo: u64,
    body: Vec<u8>,
    answer: Result<Answer, AnswerFailure>,
    outcome: Outcome,
}

fn shown() -> impl Strategy<Value = Shown> {
    let paths = ["/users/1", "/users", "/other", "/everything", "/answer", "/ask", "/state", "/", "/A"];
    let scripts = [
        "set x-a 1;append x-b 2;remove x-c;to 0;subset l v;path /p;authority h;timeout 5;retries 2;hash 7;name r",
        "fact n v;memo 5;keep 100;delay 3;shown;told;value user-agent",
        "answer 403 no;field x y;reason z",
        "ask 0 /q 100 memo",
        "count",
        "trap",
        "take me",
        "request trap",
        "request giant",
        "request many",
        "request memory",
        "request recurse",
        "request bad-status",
        "request bad-field",
        "response trap",
        "answer trap",
    ];
    let tokens = prop_oneof![
        Just(token("users")),
        Just(token("nobody")),
        ".{0,40}".prop_map(|t| format!("Bearer {t}"))
    ];
    (
        prop_oneof![3 => select(paths.map(str::to_owned).to_vec()), 1 => "/[a-zA-Z/]{0,12}"],
        option::of(tokens),
        option::of(select(scripts.map(str::to_owned).to_vec())),
        option::of(vec(any::<u8>(), 0..30)),
        any::<u64>(),
    )
        .prop_map(|(path, authorization, script, other, number)| Shown {
            path,
            authorization,
            script,
            other,
            number,
        })
}

prop_compose! {
    fn exchange()(
        shown in shown(),
        (id, memo) in any::<(u64, u64)>(),
        body in vec(any::<u8>(), 0..200),
        answered in option::of((200_u16..600, vec(("[a-z-]{1,8}", vec(any::<u8>(), 0..9)), 0..4))),
        (status, cluster, attempts) in (0_u16..600, option::of(0_u32..2), any::<u8>()),
        (local, aborted, total_us) in any::<(bool, bool, u32)>(),
    ) -> Exchange {
        let answer = answered.map(|(status, fields)| Answer { status, fields, body: body.clone() });
        let outcome = Outcome {
            status, cluster, attempts, local, aborted,
            total_us: total_us.into(), upstream_us: (total_us / 2).into(), now_ms: 1_700_000_000_000,
        };
        Exchange { id, shown, memo, body, answer: answer.ok_or(AnswerFailure::Timeout), outcome }
    }
}

/// Good until 2100.
fn token(audience: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let claims = format!(r#"{{"sub":"me","aud":"{audience}","exp":4102444800}}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"01234567890123456789012345678901");
    let signature = hmac::sign(&key, message.as_bytes());
    format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A filter on one lane, its instance made anew after a fault.
struct OnLane {
    program: Program<Agent>,
    config: &'static str,
    live: Option<(Instance<Agent>, Interest)>,
}

impl OnLane {
    fn new(code: &[u8], config: &'static str, direct: bool) -> Self {
        let engine = Engine::new(EngineSettings { direct, ..EngineSettings::default() }).unwrap();
        let callers = BucketSettings { name: "callers".into(), per_second: 1e6, burst: 1_000_000 };
        let settings = ProgramSettings {
            name: "under-test".into(),
            // Nothing here is about time, and two lanes do not take the same.
            limits: Limits { time: std::time::Duration::from_secs(5), ..Limits::default() },
            shared: Arc::new(Shared::new(SharedSettings::default())),
            buckets: Arc::new(Buckets::new([callers])),
        };
        let artifact = engine.load(code).unwrap();
        assert_eq!(artifact.inspection.lane == Lane::Direct, direct);
        Self { program: Program::new(&engine, &artifact, settings).unwrap(), config, live: None }
    }

    /// All that comes of an exchange, hook by hook.
    fn play(&mut self, exchange: &Exchange) -> Vec<String> {
        let hooks: [(HookSet, Play); 6] = [
            (HookSet::CONNECTION, |instance, _, of| {
                instance.on_connection(&of.shown.connection()).map(|verdict| format!("{verdict:?}"))
            }),
            (HookSet::REQUEST, |instance, interest, of| {
                let view = of.shown.view(&interest.request);
                decided(instance.on_request(of.id, &view, &mut Agent))
            }),
            (HookSet::REQUEST_BODY, |instance, _, of| {
                decided(instance.on_request_body(of.id, of.memo, &of.body, &mut Agent))
            }),
            (HookSet::ANSWER, |instance, _, of| {
                // The filter's own memo is never shorter than it made it.
                let memo = if of.body.len() < 8 { vec![1; 8] } else { of.body.clone() };
                decided(instance.on_answer(of.id, &memo, of.answer.clone(), &mut Agent))
            }),
            (HookSet::RESPONSE, |instance, interest, of| {
                let view = of.shown.view(&interest.response);
                decided(instance.on_response(of.id, of.memo, of.outcome.status, &view, &mut Agent))
            }),
            (HookSet::COMPLETE, |instance, _, of| {
                instance.on_complete(of.id, of.memo, &of.outcome).map(|()| String::new())
            }),
        ];
        let exported = self.program.exports();
        let hooks = hooks.into_iter().filter(|(hook, _)| exported.contains(*hook));
        hooks.map(|(_, play)| told(self.call(play, exchange))).collect()
    }

    fn call(&mut self, play: Play, exchange: &Exchange) -> Result<String, Fault> {
        let (mut instance, interest) = match self.live.take() {
            Some(live) => live,
            None => self.program.instantiate(self.config)?,
        };
        let came_to = play(&mut instance, &interest, exchange)?;
        self.live = Some((instance, interest));
        Ok(format!("{came_to} {}", self.live.as_ref().map_or(0, |(instance, _)| instance.memory_bytes())))
    }
}

type Play = fn(&mut Instance<Agent>, &Interest, &Exchange) -> Result<String, Fault>;

fn decided(decision: Result<Decision, Fault>) -> Result<String, Fault> {
    decision.map(|mut decision| {
        // What is left of a token's time is less a moment later.
        match &mut decision {
            Decision::Pass(passage) => passage.keep_ms = passage.keep_ms.min(1),
            Decision::Answer(reply) => reply.keep_ms = reply.keep_ms.min(1),
            Decision::Ask(_) => {}
        }
        format!("{decision:?}")
    })
}

/// Where a guest trapped is told with the functions that wasmtime saw, its own for components included.
fn told(came_to: Result<String, Fault>) -> String {
    match came_to {
        Ok(text) => text,
        Err(Fault::Trap(text)) => format!("trap: {}", text.split(" in ").next().unwrap_or_default()),
        Err(fault) => format!("{fault:?}"),
    }
}

#[test]
fn both_lanes_decide_the_same_of_the_same_exchanges() {
    for (package, filter_config) in FILTERS {
        let code = std::fs::read(build_guest(package).unwrap()).unwrap();
        let lanes = RefCell::new([true, false].map(|direct| OnLane::new(&code, filter_config, direct)));
        let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
        let rng = TestRng::deterministic_rng(config.rng_algorithm);
        let played = TestRunner::new_with_rng(config, rng).run(&exchange(), |exchange| {
            let [direct, component] = lanes.borrow_mut().each_mut().map(|lane| lane.play(&exchange));
            prop_assert_eq!(direct, component);
            Ok(())
        });
        played.unwrap_or_else(|error| panic!("{package}: {error}"));
    }
}
