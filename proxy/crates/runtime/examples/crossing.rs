//! What it costs to ask a filter: `cargo run --release -p weir-runtime --example crossing`.
//!
//! Prints the median and the spread of many rounds, in nanoseconds of processor time per call, for guests
//! that do nothing, on both lanes. What is measured is the whole of `Instance::on_request_into` and its likes; a
//! view is built before, unless it is said to be built.

#![allow(clippy::print_stdout, reason = "a measuring program")]

use std::{hint::black_box, sync::Arc};

use weir_runtime::{
    Buckets, Decision, Engine, EngineSettings, Limits, NoValues, Outcome, Passage, Program, ProgramSettings,
    Shared, SharedSettings, View,
};
use wit_component::StringEncoding;
use wit_parser::Resolve;

const POLICY_WIT: &str = include_str!("../../../../wit/policy.wit");
const ROUNDS: usize = 61;
const CALLS: u32 = 20_000;

/// Answers with the decision at an address; memory for what it is shown is taken from one place and
/// given back after each call, as cheap as an allocator can be.
fn guest(decision: u32) -> String {
    format!(
        r#"(module
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "weir:policy/lifecycle@0.1.0#configure") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "weir:policy/lifecycle@0.1.0#update") (param i32 i32 i32 i32) (result i32) (i32.const 1200))
  (func (export "weir:policy/request@0.1.0#on-request") (param i64 i32 i32 i32 i32) (result i32)
    (i32.const {decision}))
  (func (export "cabi_post_weir:policy/request@0.1.0#on-request") (param i32)
    (global.set $heap (i32.const 8192)))
  (func (export "weir:policy/response@0.1.0#on-response") (param i64 i64 i32 i32 i32 i32 i32) (result i32)
    (i32.const {decision}))
  (func (export "cabi_post_weir:policy/response@0.1.0#on-response") (param i32)
    (global.set $heap (i32.const 8192)))
  (func (export "weir:policy/complete@0.1.0#on-complete")
    (param i64 i64 i32 i32 i32 i32 i32 i32 i64 i64 i64))
  (data (i32.const 1028) "\01")
  ;; at 4096: pass, with a route that names cluster 1
  (data (i32.const 4112) "\01\00\00\00\00\00\00\00\01\00\00\00\01\00\00\00")
  ;; at 5120: the same, and the edit set("x-version", "v2")
  (data (i32.const 5128) "\00\18\00\00\01\00\00\00\01\00\00\00\00\00\00\00\01\00\00\00\01\00\00\00")
  (data (i32.const 6144) "\00\00\00\00\80\18\00\00\09\00\00\00\89\18\00\00\02\00\00\00")
  (data (i32.const 6272) "x-versionv2"))"#
    )
}

fn program(engine: &Engine, decision: u32) -> Program<NoValues> {
    let mut module = wat::parse_str(guest(decision)).expect("the guest parses");
    let mut resolve = Resolve::default();
    resolve.push_str("policy.wit", POLICY_WIT).expect("the contract parses");
    let exports = ["lifecycle", "request", "response", "complete"];
    let exports: String = exports.iter().map(|name| format!("export weir:policy/{name}@0.1.0;")).collect();
    let world = format!("package test:guest; world guest {{ {exports} }}");
    let package = resolve.push_str("guest.wit", &world).expect("the world parses");
    let world = resolve.select_world(&[package], None).expect("one world");
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("embeds");
    let settings = ProgramSettings {
        name: "crossing".into(),
        limits: Limits::default(),
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::default()),
    };
    let artifact = engine.load(&module).expect("loads");
    Program::new(engine, &artifact, settings).expect("links")
}

/// Four values, as a router asks for.
fn build(view: &mut View) {
    view.clear();
    view.push(Some(b"GET"));
    view.push(Some(b"api.example.com"));
    view.push(Some(b"/users/1234/orders"));
    view.push(Some(b"user-1234"));
}

fn measure(name: &str, mut call: impl FnMut()) {
    measure_rounds(name, CALLS, &mut call);
}

fn measure_rounds(name: &str, calls: u32, call: &mut dyn FnMut()) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = processor_ns();
            (0..calls).for_each(|_| call());
            (processor_ns() - begin) / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let at = |share: usize| rounds[(ROUNDS - 1) * share / 100];
    println!("{name:<46} {:>7.0} ns   ({:.0} to {:.0})", at(50), at(10), at(90));
}

/// Of this thread: other work on the machine shall not count.
fn processor_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn main() {
    for (lane, direct) in [("called directly", true), ("called as components", false)] {
        println!("{lane}:");
        let settings = EngineSettings { direct, ..EngineSettings::default() };
        measure_lane(&Engine::new(settings).expect("an engine"));
    }
    let mut view = View::new();
    measure("building a view of 4 values", || build(black_box(&mut view)));
}

fn measure_lane(engine: &Engine) {
    let empty = View::new();
    let mut view = View::new();
    let [nothing, route, edit] = [2048, 4096, 5120].map(|decision| program(engine, decision));
    measure_rounds("instantiation, configure and end", 200, &mut || {
        _ = black_box(nothing.instantiate("{}").expect("starts"));
    });
    let [mut nothing, mut route, mut edit] =
        [nothing, route, edit].map(|program| program.instantiate("{}").expect("starts").0);
    let (v, kept) = (&mut NoValues, &mut Decision::Pass(Passage::default()));
    let outcome = Outcome { status: 200, cluster: Some(1), attempts: 1, ..Outcome::default() };
    measure("on-request: no values, pass", || {
        nothing.on_request_into(1, &empty, v, black_box(kept)).expect("passes")
    });
    build(&mut view);
    measure("on-request: 4 values, pass", || {
        nothing.on_request_into(1, &view, v, black_box(kept)).expect("passes")
    });
    measure("on-request: 4 values, route", || {
        route.on_request_into(1, &view, v, black_box(kept)).expect("passes")
    });
    measure("on-request: 4 values, route and one edit", || {
        edit.on_request_into(1, &view, v, black_box(kept)).expect("passes");
    });
    measure("on-request: 4 values built and shown, route", || {
        build(&mut view);
        route.on_request_into(1, &view, v, black_box(kept)).expect("passes");
    });
    measure("on-response: no values, pass", || {
        nothing.on_response_into(1, 0, 200, &empty, v, black_box(kept)).expect("passes");
    });
    measure("on-complete", || nothing.on_complete(1, 0, black_box(&outcome)).expect("passes"));
}
