//! A configuration that is wrong: told word for word wherever one may look, and without any effect.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Launch, LoadPlan, Output, WeirProcess, eventually};

use super::{generation, reloaded};
use crate::stage::{WEIR, plain};

const PROBLEMS: [&str; 4] = [
    "error in line 5, workers.count: `0` is not a number of workers",
    "error in line 7, listeners.web: the listener has neither a chain nor a cluster",
    "error in line 9, listeners.web.clutser: unknown key `clutser` (did you mean `cluster`?)",
    "error in line 12, clusters.origin.endpoints[0].address: `no address` is not an address",
];

fn broken(good: &str, origin: &EchoOrigin) -> String {
    good.replace("count = 2", "count = 0")
        .replace("cluster = \"origin\"", "clutser = \"origin\"")
        .replace(&origin.address().to_string(), "no address")
}

async fn last_error(weir: &WeirProcess) -> Result<serde_json::Value> {
    Ok(weir.admin_get("/config").await?.json()?["last_error"].clone())
}

#[tokio::test]
async fn it_is_told_everywhere_and_changes_nothing() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let good = plain(origin.address(), "");
    let weir = Launch::new(WEIR, &*good).start().await?;
    let load = LoadPlan::new(weir.address("web")?, "/").start();
    load.passed(20).await?;
    weir.rewrite_config(&broken(&good, &origin))?;

    let (status, told) = reloaded(&weir).await?;
    assert_eq!(status, 409);
    let problems: Vec<&str> =
        told["problems"].as_array().into_iter().flatten().filter_map(|p| p.as_str()).collect();
    assert_eq!(problems.len(), PROBLEMS.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(PROBLEMS) {
        assert!(problem.starts_with(expected), "{problem}");
        weir.line_with(problem).await?;
    }
    weir.line_with("the new configuration is refused; the old one stays in force").await?;
    assert_eq!(last_error(&weir).await?, told["problems"]);
    let failed = weir.metric("weir_config_reloads_total{result=\"failed\"}").await?;
    assert!(failed.is_some_and(|failed| failed >= 1.0), "{failed:?}");

    let path = weir.path("weir.toml").display().to_string();
    let checked = Output::of(WEIR, &["check", "--config", &path]).await?;
    assert_eq!(checked.status.code(), Some(1));
    let text = checked.stderr.join("\n");
    for reason in ["a number of workers", "unknown key `clutser`", "`no address`", "4 errors"] {
        assert!(text.contains(reason), "no {reason:?} in\n{text}");
    }

    load.passed(20).await?;
    weir.rewrite_config(&good)?;
    eventually("the error being mended", async || last_error(&weir).await.ok()?.is_null().then_some(()))
        .await?;
    let standing = weir.admin_get("/config").await?.json()?;
    assert_eq!(standing["generation"], 1, "what was in force all the time is in force");
    load.stop().await?.all_ok()
}

#[tokio::test]
async fn every_part_that_cannot_be_built_is_named_and_none_is_applied() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let good = plain(origin.address(), "");
    let weir = Launch::new(WEIR, &*good).file("text.wasm", "text").start().await?;
    let filters = "[filters.text]\nwasm = \"text.wasm\"\n\
        [filters.strict]\nwasm = \"builtin:router\"\nconfig = { nonsense = 1 }\n\
        [filters.other]\nwasm = \"builtin:router\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n\
        [listeners.more]\naddress = \"127.0.0.1:0\"\ncluster = \"origin\"\n";
    weir.rewrite_config(&plain(origin.address(), filters))?;
    let (status, told) = reloaded(&weir).await?;
    assert_eq!(status, 409);
    let text = told.to_string();
    for expected in
        ["filters.text: not WebAssembly", "filters.strict: ", "filters.other: the file's sha256 is "]
    {
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
    let standing = weir.admin_get("/config").await?.json()?;
    assert_eq!(standing["generation"], 1);
    assert_eq!(weir.admin_get("/filters").await?.json()?, serde_json::json!([]));
    assert_eq!(weir.admin_get("/listeners").await?.json()?.as_array().map(Vec::len), Some(1));
    // The file that was refused is watched, too: mending it is enough, once the rest is in order.
    weir.rewrite_config(&plain(
        origin.address(),
        "[filters.text]\nwasm = \"text.wasm\"\nconfig = { routes = [] }\n",
    ))?;
    weir.line_with("filters.text: not WebAssembly").await?;
    weir.write_file("text.wasm", super::variant("router", 1)?)?;
    generation(&weir, 2).await
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_refused() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let good = plain(origin.address(), "");
    let weir = Launch::new(WEIR, &*good).start().await?;
    // The origin does not share its port.
    let taken = format!("[listeners.taken]\naddress = \"{}\"\ncluster = \"origin\"\n", origin.address());
    weir.rewrite_config(&plain(origin.address(), &taken))?;
    let (status, told) = reloaded(&weir).await?;
    assert_eq!(status, 409);
    let problem = told["problems"][0].as_str().unwrap_or_default();
    assert!(problem.starts_with("listeners.taken: cannot listen on"), "{problem}");
    assert_eq!(weir.admin_get("/config").await?.json()?["generation"], 1);
    Ok(())
}
