//! Filters as WebAssembly in the proxy's own runtime: what the SDK lowers by hand is what the contract
//! means, and the harness tells the truth.
#![allow(missing_docs, clippy::unwrap_used)]

mod contract;
mod filters;
mod lanes;
mod stack;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use weir_runtime::{
    BucketSettings, Buckets, Decision, Engine, EngineSettings, Fault, Instance, Limits, Outcome, Program,
    ProgramSettings, Shared, SharedSettings, Values, View,
};
use weir_testkit::build_guest;

/// A request of which only the agent is known.
#[derive(Default)]
struct Agent;

impl Values for Agent {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (name == "user-agent").then_some(Cow::Borrowed(b"test"))
    }
}

fn program(package: &str) -> Program<Agent> {
    limited(package, Limits::default())
}

fn limited(package: &str, limits: Limits) -> Program<Agent> {
    let bytes = std::fs::read(build_guest(package).unwrap()).unwrap();
    let engine = Engine::new(EngineSettings::default()).unwrap();
    let callers = BucketSettings { name: "callers".into(), per_second: 1_000.0, burst: 1_000 };
    let settings = ProgramSettings {
        name: "under-test".into(),
        limits,
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::new([callers])),
    };
    Program::new(&engine, &engine.load(&bytes).unwrap(), settings).unwrap()
}

fn request(instance: &mut Instance<Agent>, values: &[Option<&[u8]>]) -> Result<Decision, Fault> {
    let mut view = View::new();
    for value in values {
        view.push(*value);
    }
    instance.on_request(7, &view, &mut Agent)
}

fn body(decision: Decision) -> Vec<u8> {
    match decision {
        Decision::Answer(reply) => reply.body,
        other => panic!("{other:?} is no answer"),
    }
}

fn outcome(status: u16) -> Outcome {
    Outcome {
        status,
        cluster: Some(0),
        attempts: 1,
        local: false,
        aborted: false,
        total_us: 1_000,
        upstream_us: 900,
        now_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
    }
}
