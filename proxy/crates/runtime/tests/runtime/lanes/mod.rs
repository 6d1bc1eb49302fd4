//! Both lanes side by side: whatever comes in and whatever a guest does, they come to the same.

mod answers;
mod arguments;
mod calls;
mod connection;
mod eligible;

use std::{borrow::Cow, fmt::Debug, sync::LazyLock};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestRunner},
};
use weir_runtime::{Engine, Fault, Instance, Lane, Program, Values};

use crate::{
    guest::Guest,
    settings,
    start::{ENGINE, engine},
};

static COMPONENTS: LazyLock<Engine> = LazyLock::new(|| engine(false));

/// An exchange of which one value is known.
#[derive(Default)]
struct Known;

impl Values for Known {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (name == "known").then_some(Cow::Borrowed(b"value"))
    }
}

/// One guest on both lanes, each with a state of its own.
struct Both([(Program<Known>, Option<Instance<Known>>); 2]);

impl Both {
    fn of(guest: &Guest) -> Self {
        let bytes = guest.build();
        let both = [&*ENGINE, &*COMPONENTS].map(|engine| {
            let artifact = engine.load(&bytes).unwrap();
            (Program::new(engine, &artifact, settings()).unwrap(), None)
        });
        assert_eq!(both[0].0.artifact().inspection.lane, Lane::Direct);
        assert!(matches!(both[1].0.artifact().inspection.lane, Lane::Component(_)));
        Self(both)
    }

    /// Does the same on both lanes, with instances that last until they fault, and gives what both came to.
    fn same<T: PartialEq + Debug>(
        &mut self,
        does: impl Fn(&mut Instance<Known>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let [direct, component] = self.0.each_mut().map(|(program, instance)| {
            let mut live = match instance.take() {
                Some(live) => live,
                None => program.instantiate("{}")?.0,
            };
            let came_to = does(&mut live);
            if came_to.is_ok() {
                *instance = Some(live);
            }
            came_to
        });
        let (direct, component) = (without_place(direct), without_place(component));
        assert_eq!(direct, component, "direct on the left");
        direct
    }
}

/// Starts a guest on both lanes; what `configure` answers is the same, too.
fn both_start(guest: &Guest) -> Result<weir_runtime::Interest, Fault> {
    let Both(both) = Both::of(guest);
    let [direct, component] =
        both.map(|(program, _)| without_place(program.instantiate("{}").map(|(_, interest)| interest)));
    assert_eq!(direct, component, "direct on the left");
    direct
}

/// Where a guest trapped is told with the functions that wasmtime saw, its own for components included.
fn without_place<T>(came_to: Result<T, Fault>) -> Result<T, Fault> {
    came_to.map_err(|fault| match fault {
        Fault::Trap(text) => Fault::Trap(text.split(" in ").next().unwrap_or_default().to_owned()),
        other => other,
    })
}

/// Tries a test with so many generated cases, the same at every run.
fn for_all<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
        .run(&strategy, |case| {
            test(case);
            Ok(())
        })
        .unwrap();
}
