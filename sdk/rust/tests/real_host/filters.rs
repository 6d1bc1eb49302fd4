//! Filters that come with Weir, where only the real host can tell: its limits, its shared state.

use serde_json::json;
use weir_runtime::Decision;

use super::{outcome, program, request};

#[test]
fn ten_thousand_routes_load_and_route() {
    let routes: Vec<_> = (0..10_000)
        .map(|at| {
            json!({
                "name": at.to_string(),
                "match": { "host": format!("h{}.test", at % 100), "path_prefix": format!("/p{at}") },
                "cluster": format!("c{}", at % 10),
            })
        })
        .collect();
    let config = json!({ "routes": routes }).to_string();
    let (mut instance, interest) = program("weir-filter-router").instantiate(&config).unwrap();
    assert_eq!(
        (interest.request.as_slice(), interest.clusters.len()),
        (&[":authority".into(), ":path".into()][..], 10)
    );
    assert!(instance.memory_bytes() <= 8 << 20, "{} bytes", instance.memory_bytes());
    let decision = request(&mut instance, &[Some(b"h99.test"), Some(b"/p9999/x")]).unwrap();
    let Decision::Pass(passage) = decision else { panic!("{decision:?}") };
    let route = passage.route.unwrap();
    assert_eq!((route.cluster, route.name.as_deref()), (Some(9), Some("9999")));
    let nowhere = request(&mut instance, &[Some(b"h98.test"), Some(b"/p9999/x")]).unwrap();
    assert!(matches!(nowhere, Decision::Answer(reply) if reply.status == 404 && reply.reason == "no_route"));
}

#[test]
fn a_breaker_opens_for_every_instance() {
    let program = program("weir-filter-circuit-breaker");
    let config = r#"{"cluster":"users","open_for":"60s"}"#;
    let (mut first, interest) = program.instantiate(config).unwrap();
    let (mut second, _) = program.instantiate(config).unwrap();
    assert_eq!(interest.when.len(), 1);
    for _ in 0..7 {
        let Decision::Pass(passage) = request(&mut first, &[]).unwrap() else { panic!("it is open already") };
        first.on_complete(7, passage.memo, &outcome(500)).unwrap();
    }
    let Decision::Answer(reply) = request(&mut second, &[]).unwrap() else { panic!("it is not open") };
    assert_eq!((reply.status, reply.reason.as_str()), (503, "breaker_open"));
    assert_eq!(reply.fields[0].0, "retry-after");
}
