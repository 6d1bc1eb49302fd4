//! The runtime from outside: guests written by hand, good and hostile, through the real engine.

#![allow(clippy::unwrap_used, reason = "tests")]

mod contract;
mod engine;
mod guest;
mod hostile;
mod imports;
mod log;
mod wasi;

use std::sync::{Arc, LazyLock};

use weir_runtime::{
    Buckets, Decision, Engine, EngineSettings, Fault, Instance, Interest, Limits, NoValues, Passage, Program,
    ProgramSettings, Shared, SharedSettings, Values, View,
};

use guest::Guest;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineSettings::default()).unwrap());

fn settings() -> ProgramSettings {
    ProgramSettings {
        name: "test".into(),
        limits: Limits::default(),
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::default()),
    }
}

fn program_with<V: Values>(guest: &Guest, settings: ProgramSettings) -> Program<V> {
    let artifact = ENGINE.load(&guest.build()).unwrap();
    Program::new(&ENGINE, &artifact, settings).unwrap()
}

fn try_start(guest: &Guest, settings: ProgramSettings) -> Result<(Instance<NoValues>, Interest), Fault> {
    program_with(guest, settings).instantiate("{}")
}

fn start(guest: &Guest) -> Instance<NoValues> {
    try_start(guest, settings()).unwrap().0
}

fn ask(instance: &mut Instance<NoValues>) -> Result<Decision, Fault> {
    instance.on_request(1, &View::new(), &mut NoValues)
}

fn pass() -> Decision {
    Decision::Pass(Passage::default())
}
