//! What it costs to ask a filter: `cargo run --release -p weir-runtime --example crossing`.
//!
//! Prints the median and the spread of many rounds, in nanoseconds per call, for guests that do nothing.
//! What is measured is the whole of `Instance::on_request`, view building apart where it says so.

#![allow(clippy::print_stdout, reason = "a measuring program")]

use std::{hint::black_box, sync::Arc};

use weir_runtime::{
    Buckets, Engine, EngineSettings, Instance, Limits, NoValues, Program, ProgramSettings, Shared,
    SharedSettings, View,
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
  (data (i32.const 1028) "\01")
  ;; at 4096: pass, with a route that names cluster 1
  (data (i32.const 4112) "\01\00\00\00\00\00\00\00\01\00\00\00\01\00\00\00")
  ;; at 5120: the same, and the edit set("x-version", "v2")
  (data (i32.const 5128) "\00\18\00\00\01\00\00\00\01\00\00\00\00\00\00\00\01\00\00\00\01\00\00\00")
  (data (i32.const 6144) "\00\00\00\00\80\18\00\00\09\00\00\00\89\18\00\00\02\00\00\00")
  (data (i32.const 6272) "x-versionv2"))"#
    )
}

fn start(engine: &Engine, decision: u32) -> Instance<NoValues> {
    let mut module = wat::parse_str(guest(decision)).expect("the guest parses");
    let mut resolve = Resolve::default();
    resolve.push_str("policy.wit", POLICY_WIT).expect("the contract parses");
    let world = "package test:guest; world guest { export weir:policy/lifecycle@0.1.0; export weir:policy/request@0.1.0; }";
    let package = resolve.push_str("guest.wit", world).expect("the world parses");
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
    Program::new(engine, &artifact, settings).map(|p| p.instantiate("{}").expect("starts").0).expect("links")
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
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = processor_ns();
            (0..CALLS).for_each(|_| call());
            (processor_ns() - begin) / f64::from(CALLS)
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
    let engine = Engine::new(EngineSettings::default()).expect("an engine");
    let empty = View::new();
    let mut view = View::new();
    let mut nothing = start(&engine, 2048);
    let mut route = start(&engine, 4096);
    let mut edit = start(&engine, 5120);
    let v = &mut NoValues;
    measure("no values, pass", || _ = black_box(nothing.on_request(1, &empty, v).expect("passes")));
    build(&mut view);
    measure("4 values, pass", || _ = black_box(nothing.on_request(1, &view, v).expect("passes")));
    measure("4 values, route", || _ = black_box(route.on_request(1, &view, v).expect("passes")));
    measure("4 values, route and one edit", || _ = black_box(edit.on_request(1, &view, v).expect("passes")));
    measure("4 values built and shown, route", || {
        build(&mut view);
        _ = black_box(route.on_request(1, &view, v).expect("passes"));
    });
    measure("building a view of 4 values", || build(black_box(&mut view)));
}
