//! A configuration of thousands: a reload changes what it changes, and holds up nobody.

use std::fmt::Write as _;

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, WeirProcess, eventually};

use super::{generation, shown, variant};
use crate::stage::weir;

const CLUSTERS: usize = 200;
const ROUTES: usize = 2_000;

/// Routes in turn to the clusters; the first of these is `one`, the others are `two`. `version` is in the last
/// route's path, `retries` of the last cluster.
fn config(one: &EchoOrigin, two: &EchoOrigin, version: usize, retries: usize) -> Result<String> {
    let mut text = "[admin]\naddress = \"127.0.0.1:0\"\n[workers]\ncount = 1\n\
        [listeners.web]\naddress = \"127.0.0.1:0\"\nchain = [\"routes\"]\n\
        [filters.routes]\nwasm = \"builtin:router\"\n"
        .to_owned();
    for cluster in 0..CLUSTERS {
        let address = if cluster == 0 { one.address() } else { two.address() };
        write!(text, "[clusters.service-{cluster}]\nendpoints = [{{ address = \"{address}\" }}]\n")?;
        if cluster == CLUSTERS - 1 {
            writeln!(text, "retries = {retries}")?;
        }
    }
    for route in 0..ROUTES {
        let version = if route == ROUTES - 1 { version } else { 0 };
        let cluster = route % CLUSTERS;
        write!(
            text,
            "[[filters.routes.config.routes]]\nname = \"route-{route}\"\n\
             match = {{ path_prefix = \"/v{version}/{route}\" }}\ncluster = \"service-{cluster}\"\n"
        )?;
    }
    Ok(text)
}

/// An answer is counted when all of it is out, perhaps only after it has arrived.
async fn has_answered(weir: &WeirProcess, cluster: usize, times: u64, what: &str) -> Result<()> {
    let name = format!("service-{cluster}");
    let counted = async || shown(weir, "/clusters", &name).await.ok()?["endpoints"][0]["answered"].as_u64();
    eventually(what, async || (counted().await? == times).then_some(())).await
}

#[tokio::test]
async fn of_thousands_only_what_changed_is_made_anew() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = weir(config(&one, &two, 1, 1)?).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let last = |version: usize| format!("/v{version}/{}", ROUTES - 1);
    assert_eq!(client.get("/v0/0").await?.status, 200);
    assert_eq!(client.get(&last(1)).await?.status, 200);
    assert_eq!(client.get(&last(2)).await?.status, 404);

    weir.rewrite_config(&config(&one, &two, 2, 2)?)?;
    generation(&weir, 2).await?;
    assert_eq!(client.get(&last(1)).await?.status, 404);
    assert_eq!(client.get(&last(2)).await?.status, 200);
    assert_eq!(client.get("/v0/0").await?.status, 200);
    assert_eq!(one.connections(), 1, "a cluster that did not change keeps its connections");
    has_answered(&weir, 0, 2, "both answers being counted").await?;
    // It changed, its endpoint did not.
    has_answered(&weir, CLUSTERS - 1, 2, "what is known of an endpoint outliving its cluster").await
}

#[tokio::test]
async fn exchanges_go_on_while_a_changed_filter_is_compiled() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let text = "[admin]\naddress = \"127.0.0.1:0\"\n[workers]\ncount = 1\n\
        [listeners.web]\naddress = \"127.0.0.1:0\"\nchain = [\"routes\"]\n\
        [filters.routes]\nwasm = \"routes.wasm\"\n\
        [[filters.routes.config.routes]]\ncluster = \"one\"\n";
    let text = format!("{text}[clusters.one]\nendpoints = [{{ address = \"{}\" }}]\n", origin.address());
    let launch = weir_testkit::Launch::new(crate::stage::WEIR, text);
    let weir = launch.file("routes.wasm", variant("router", 1)?).start().await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 200);

    // Renamed over the old one, as a deployment does it.
    weir.write_file("draft.wasm", variant("router", 2)?)?;
    std::fs::rename(weir.path("draft.wasm"), weir.path("routes.wasm"))?;
    let mut reload = std::pin::pin!(weir.admin_post("/filters/routes/swap", b""));
    let mut meanwhile = 0;
    let swapped = loop {
        tokio::select! {
            biased;
            response = client.get("/") => {
                assert_eq!(response?.status, 200);
                meanwhile += 1;
            }
            swapped = &mut reload => break swapped?,
        }
    };
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    assert!(meanwhile > 0, "the worker waited for the compiler");
    Ok(())
}
