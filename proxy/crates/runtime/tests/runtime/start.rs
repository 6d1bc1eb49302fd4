//! Instances for tests, and the one question most tests ask them.

use std::sync::{Arc, LazyLock};

use weir_runtime::{
    Buckets, Decision, Engine, EngineSettings, Fault, Instance, Interest, Limits, NoValues, Passage, Program,
    ProgramSettings, Shared, SharedSettings, Values, View,
};

use crate::guest::Guest;

pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| engine(crate::DIRECT));

pub(crate) fn engine(direct: bool) -> Engine {
    Engine::new(EngineSettings { direct, ..EngineSettings::default() }).unwrap()
}

pub(crate) fn settings() -> ProgramSettings {
    ProgramSettings {
        name: "test".into(),
        limits: Limits::default(),
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::default()),
    }
}

pub(crate) fn program_with<V: Values>(guest: &Guest, settings: ProgramSettings) -> Program<V> {
    let artifact = ENGINE.load(&guest.build()).unwrap();
    Program::new(&ENGINE, &artifact, settings).unwrap()
}

pub(crate) fn try_start(
    guest: &Guest,
    settings: ProgramSettings,
) -> Result<(Instance<NoValues>, Interest), Fault> {
    program_with(guest, settings).instantiate("{}")
}

pub(crate) fn start(guest: &Guest) -> Instance<NoValues> {
    try_start(guest, settings()).unwrap().0
}

pub(crate) fn ask(instance: &mut Instance<NoValues>) -> Result<Decision, Fault> {
    instance.on_request(1, &View::new(), &mut NoValues)
}

pub(crate) fn pass() -> Decision {
    Decision::Pass(Passage::default())
}
