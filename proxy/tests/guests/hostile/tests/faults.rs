//! The guest in the real runtime: each misdeed at each hook ends as a fault of its own instance, in bounded
//! time and memory, and the next instance is as good as new.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use weir_runtime::{
    Answer, Buckets, ConnectionView, Decision, Engine, EngineSettings, Fault, Instance, Limits, NoValues,
    Outcome, Program, ProgramSettings, Shared, SharedSettings, View,
};

const HOOKS: [&str; 5] = ["request", "body", "answer", "response", "complete"];

/// Misdeed, and the kind of fault it must end as.
const FAULTS: [(&str, &str); 6] = [
    ("loop", "time"),
    ("memory", "memory"),
    ("trap", "trap"),
    ("recurse", "trap"),
    ("giant", "wrong-answer"),
    ("many", "wrong-answer"),
];

/// What the runtime passes on as it is: the proxy's own check of decisions refuses them.
const PASSED_ON: [&str; 2] = ["bad-field", "framing-field"];

#[test]
fn every_misdeed_at_every_hook_is_a_fault_of_one_instance() -> Result<()> {
    let (engine, program) = program()?;
    for hook in HOOKS {
        for (misdeed, kind) in FAULTS {
            // What `on_complete` makes of its own work never crosses.
            if hook == "complete" && kind == "wrong-answer" {
                continue;
            }
            let mut instance = configured(&program)?;
            let fault = commit(&mut instance, hook, misdeed).err();
            let fault = fault.with_context(|| format!("{hook} {misdeed} did no harm"))?;
            assert_eq!(fault.kind(), kind, "{hook} {misdeed}: {fault}");
            assert_eq!(pass(&mut instance).err(), Some(Fault::Poisoned), "{hook} {misdeed}");
            drop(instance);
            pass(&mut configured(&program)?)?;
        }
    }
    assert_eq!(engine.live_instances(), 0, "every instance is freed");
    Ok(())
}

#[test]
fn every_misdeed_about_a_connection_is_a_fault_of_one_instance() -> Result<()> {
    let (_, program) = program()?;
    for (misdeed, kind) in &FAULTS[..5] {
        let mut instance = program.instantiate(r#"{"connections":true}"#)?.0;
        let name = format!("{misdeed}.test");
        let of = |sni| ConnectionView { sni, ..ConnectionView::default() };
        instance.on_connection(&of(None))?;
        let fault = instance.on_connection(&of(Some(&name))).err();
        let fault = fault.with_context(|| format!("{misdeed} did no harm"))?;
        assert_eq!(fault.kind(), *kind, "{misdeed}: {fault}");
        assert_eq!(instance.on_connection(&of(None)).err(), Some(Fault::Poisoned), "{misdeed}");
    }
    Ok(())
}

#[test]
fn a_status_that_is_none_is_a_wrong_answer() -> Result<()> {
    let (_, program) = program()?;
    for hook in &HOOKS[..4] {
        let fault = commit(&mut configured(&program)?, hook, "bad-status").err().context("no fault")?;
        assert_eq!(fault.kind(), "wrong-answer", "{hook}: {fault}");
    }
    Ok(())
}

#[test]
fn edits_that_the_proxy_must_refuse_reach_it() -> Result<()> {
    let (_, program) = program()?;
    for misdeed in PASSED_ON {
        let decision = commit(&mut configured(&program)?, "request", misdeed)?;
        assert!(matches!(decision, Some(Decision::Pass(passage)) if passage.edits.len() == 1), "{misdeed}");
    }
    Ok(())
}

#[test]
fn configure_and_update_may_refuse_or_fault() -> Result<()> {
    let (_, program) = program()?;
    let refused = program.instantiate(r#"{"configure":"refuse"}"#).err();
    assert_eq!(refused, Some(Fault::Configure("refused, as configured".into())));
    for (misdeed, kind) in &FAULTS[..4] {
        let json = format!(r#"{{"configure":"{misdeed}"}}"#);
        let Some(fault) = program.instantiate(&json).err() else { bail!("configured in spite of {misdeed}") };
        assert_eq!(fault.kind(), *kind, "configure {misdeed}: {fault}");
        let mut instance = configured(&program)?;
        assert_eq!(instance.update("data", b"fine"), Ok(Ok(())));
        assert_eq!(instance.update("data", b"refuse"), Ok(Err("refused, as the data say".into())));
        pass(&mut instance)?;
        let Some(fault) = instance.update("data", misdeed.as_bytes()).err() else {
            bail!("updated with {misdeed}")
        };
        assert_eq!(fault.kind(), *kind, "update {misdeed}: {fault}");
    }
    Ok(())
}

/// Built once, however many tests ask.
fn wasm() -> Result<&'static [u8]> {
    static WASM: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let built = WASM.get_or_init(|| {
        let path = weir_testkit::build_guest("weir-guest-hostile").map_err(|error| format!("{error:#}"))?;
        std::fs::read(path).map_err(|error| error.to_string())
    });
    built.as_deref().map_err(|error| anyhow::Error::msg(error.clone()))
}

fn program() -> Result<(Engine, Program<NoValues>)> {
    let engine = Engine::new(EngineSettings { instances: 8, ..EngineSettings::default() })?;
    let artifact = engine.load(wasm()?)?;
    let settings = ProgramSettings {
        name: "hostile".into(),
        // More time than the default: filling all its memory must not end as a lack of time on a busy machine.
        limits: Limits { time: Duration::from_millis(300), ..Limits::default() },
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::new([])),
    };
    let program = Program::new(&engine, &artifact, settings)?;
    Ok((engine, program))
}

fn configured(program: &Program<NoValues>) -> Result<Instance<NoValues>> {
    Ok(program.instantiate(r#"{"cluster":"other","bodies":true}"#)?.0)
}

/// A request that asks for nothing bad.
fn pass(instance: &mut Instance<NoValues>) -> Result<(), Fault> {
    let mut view = View::new();
    view.push(None);
    instance.on_request(1, &view, &mut NoValues).map(drop)
}

/// An exchange up to the hook that is to do it, whose decision is given.
fn commit(instance: &mut Instance<NoValues>, hook: &str, misdeed: &str) -> Result<Option<Decision>, Fault> {
    let mut view = View::new();
    view.push(Some(format!("{hook} {misdeed}").as_bytes()));
    let first = instance.on_request(1, &view, &mut NoValues)?;
    let memo = match &first {
        Decision::Pass(passage) => passage.memo,
        _ => 0,
    };
    match (hook, first) {
        ("request", first) => Ok(Some(first)),
        ("answer", Decision::Ask(question)) => {
            let answer = Answer { status: 200, fields: Vec::new(), body: Vec::new() };
            instance.on_answer(1, &question.memo, Ok(answer), &mut NoValues).map(Some)
        }
        ("body", _) => instance.on_request_body(1, memo, b"body", &mut NoValues).map(Some),
        ("response", _) => instance.on_response(1, memo, 200, &View::new(), &mut NoValues).map(Some),
        ("complete", _) => {
            instance.on_complete(1, memo, &Outcome { status: 200, ..Outcome::default() }).map(|()| None)
        }
        other => panic!("{other:?}"),
    }
}
