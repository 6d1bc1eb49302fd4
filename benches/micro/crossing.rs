//! Crossings into WebAssembly, through the runtime that the proxy uses, with the filters that it carries. Each is
//! measured on both lanes: called directly, and as a component.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion};
use weir_runtime::{
    Buckets, Decision, Engine, EngineSettings, Fault, Instance, Interest, Lane, Limits, NoValues, Passage,
    Program, ProgramSettings, Shared, SharedSettings, View,
};

/// By the number and the length of the values shown to a filter that does nothing.
pub(crate) fn views(criterion: &mut Criterion) {
    let guest = weir_testkit::build_guest("weir-bench-noop").expect("the guest builds");
    let code = std::fs::read(guest).expect("the guest can be read");
    let mut group = criterion.benchmark_group("crossing, no-op");
    for (values, bytes) in [(0, 0), (1, 16), (4, 16), (16, 16), (4, 1_024)] {
        let view = filled(values, bytes);
        for lane in LANES {
            let (mut instance, _) = start(&code, "{}", lane);
            let mut kept = Decision::Pass(Passage::default());
            let what = format!("{values} values of {bytes} bytes");
            group.bench_function(BenchmarkId::new(lane, what), |bencher| {
                bencher.iter(|| ask(&mut instance, &view, &mut kept).expect("it passes"));
            });
        }
    }
}

/// The router's answer by the number of its routes.
pub(crate) fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    for routes in [10, 1_000, 100_000] {
        let list: Vec<_> = (0..routes)
            .map(|n| serde_json::json!({
                "name": format!("r{n}"),
                "match": { "host": format!("h{}.example.com", n % 100), "path_prefix": format!("/service-{n}") },
                "cluster": "users",
            }))
            .collect();
        let config = serde_json::json!({ "routes": list }).to_string();
        let wanted = routes / 2;
        let host = format!("h{}.example.com", wanted % 100);
        for lane in LANES {
            let router = weir::app::builtin("router").expect("a builtin");
            let (mut instance, interest) = start(router, &config, lane);
            let mut kept = Decision::Pass(Passage::default());
            let view = shown(&interest, |name| match name {
                ":authority" | ":host" => Some(host.clone()),
                ":path" => Some(format!("/service-{wanted}/orders/7")),
                ":method" => Some("GET".to_owned()),
                _ => None,
            });
            group.bench_function(BenchmarkId::new(lane, format!("{routes} routes")), |bencher| {
                bencher.iter(|| ask(&mut instance, &view, &mut kept).expect("it routes"));
            });
        }
    }
}

/// The other standard filters, each as configured most simply.
pub(crate) fn policies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy");
    let canary = r#"{ "cluster": "users", "sticky": { "header": "x-user" },
        "versions": [{ "label": "v1", "weight": 90 }, { "label": "v2", "weight": 10 }] }"#;
    let breaker = r#"{ "cluster": "users" }"#;
    for (name, config) in [("canary", canary), ("circuit-breaker", breaker)] {
        for lane in LANES {
            let (mut instance, interest) = start(weir::app::builtin(name).expect("a builtin"), config, lane);
            let mut kept = Decision::Pass(Passage::default());
            let view = shown(&interest, |name| match name {
                "x-user" => Some("user-42".to_owned()),
                "@route.cluster" => Some("users".to_owned()),
                _ => None,
            });
            group.bench_function(BenchmarkId::new(lane, name), |bencher| {
                bencher.iter(|| ask(&mut instance, &view, &mut kept).expect("it passes"));
            });
        }
    }
}

const DIRECT: &str = "direct";
const LANES: [&str; 2] = [DIRECT, "component"];

fn start(code: &[u8], config: &str, lane: &str) -> (Instance<NoValues>, Interest) {
    let settings = EngineSettings { direct: lane == DIRECT, ..EngineSettings::default() };
    let engine = Engine::new(settings).expect("an engine");
    let settings = ProgramSettings {
        name: "micro".into(),
        limits: Limits { memory: 1 << 30, ..Limits::default() },
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::default()),
    };
    let artifact = engine.load(code).expect("it loads");
    let is_direct = artifact.inspection.lane == Lane::Direct;
    assert_eq!(is_direct, lane == DIRECT, "{:?}", artifact.inspection.lane);
    let program = Program::new(&engine, &artifact, settings).expect("it links");
    program.instantiate(config).expect("it accepts its configuration")
}

/// As the proxy asks: the decision is read into a place that is used again.
fn ask(instance: &mut Instance<NoValues>, view: &View, kept: &mut Decision) -> Result<(), Fault> {
    instance.on_request_into(1, black_box(view), &mut NoValues, black_box(kept))
}

fn filled(values: usize, bytes: usize) -> View {
    let mut view = View::new();
    view.clear();
    (0..values).for_each(|_| view.push(Some(&vec![b'v'; bytes])));
    view
}

/// What the proxy would show of a request.
fn shown(interest: &Interest, value: impl Fn(&str) -> Option<String>) -> View {
    let mut view = View::new();
    view.clear();
    interest.request.iter().for_each(|name| view.push(value(name).as_deref().map(str::as_bytes)));
    view
}
