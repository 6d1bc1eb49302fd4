//! The filter as WebAssembly, in the runtime that the proxy has.

use std::borrow::Cow;
use std::sync::Arc;

use weir_runtime::{
    Buckets, Decision, Engine, EngineSettings, Fault, Limits, Program, ProgramSettings, Shared,
    SharedSettings, Values, View, inspect,
};
use weir_testkit::build_guest;

/// An exchange of which only what is in the view is known.
#[derive(Default)]
struct Nothing;

impl Values for Nothing {
    fn value(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

#[test]
fn it_is_a_policy_that_loads_refuses_and_greets() {
    let bytes = std::fs::read(build_guest("hello-filter").unwrap()).unwrap();
    let inspection = inspect(&bytes).unwrap();
    assert_eq!(inspection.hooks.names().collect::<Vec<_>>(), ["request", "response"]);

    let engine = Engine::new(EngineSettings::default()).unwrap();
    let settings = ProgramSettings {
        name: "hello".into(),
        limits: Limits::default(),
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::new([])),
    };
    let program = Program::<Nothing>::new(&engine, &engine.load(&bytes).unwrap(), settings).unwrap();
    let refused = program.instantiate(r#"{"greeting":"two\nlines"}"#).err().unwrap();
    assert!(matches!(&refused, Fault::Configure(text) if text.contains("control character")), "{refused:?}");

    let (mut instance, interest) = program.instantiate(r#"{"greeting":"Hello"}"#).unwrap();
    assert_eq!(interest.request, [":path", "user-agent"]);
    let mut view = View::new();
    view.push(Some(b"/hello"));
    view.push(Some(b"curl"));
    let decision = instance.on_request(1, &view, &mut Nothing).unwrap();
    assert!(matches!(decision, Decision::Answer(reply) if reply.body == b"Hello, curl!\n"));
}
