//! Swapping filters while traffic flows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_testkit::{EchoOrigin, Http1, Launch, LoadPlan, WeirProcess, build_guest, eventually};

use super::{chain, number, puppet, received, told, until_counted, until_told};
use crate::stage::{WEIR, weir};

/// Reads the configuration again; an error unless the filter `name` then has this generation.
async fn reload(weir: &WeirProcess, name: &str, generation: u64) -> Result<()> {
    let answer = weir.admin_post("/reload", b"").await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let now = told(weir, name).await?;
    ensure!(number(&now, "/generation") == generation, "{generation} expected: {now}");
    Ok(())
}

/// Swaps the filter `name` 200 times while `load` runs: 100 times by its configuration, 100 times by its file.
async fn two_hundred_times(package: &str, name: &str, filter: &str, fields: &[(&str, &str)]) -> Result<()> {
    let (origin, other) = (EchoOrigin::start("v1").await?, EchoOrigin::start("v2").await?);
    let users = format!(
        "[cache]\ndirectory = \"{{dir}}/cache\"\n\n[filters.routes]\nwasm = \"builtin:router\"\n\
         [[filters.routes.config.routes]]\nname = \"all\"\ncluster = \"users\"\n\n\
         [clusters.users]\nendpoints = [\n  {{ address = \"{}\", labels = {{ version = \"v1\" }} }},\n  \
         {{ address = \"{}\", labels = {{ version = \"v2\" }} }},\n]\n\n",
        origin.address(),
        other.address(),
    );
    let order = if name == "routes" { vec!["routes"] } else { vec!["routes", name] };
    let users = if name == "routes" {
        users.replace("[filters.routes]\nwasm = \"builtin:router\"\n", filter)
    } else {
        users + filter
    };
    let config = |variant: &str| {
        let route = if name == "routes" { variant } else { "all" };
        let with =
            users.replace("VARIANT", variant).replace("name = \"all\"", &format!("name = \"{route}\""));
        chain(origin.address(), &order, &with)
    };
    let code = std::fs::read(build_guest(package)?)?;
    let weir = Launch::new(WEIR, config("1")).file("filter.wasm", code.clone()).start().await?;
    let load = LoadPlan::new(weir.address("web")?, "/")
        .connections(4)
        .between(Duration::from_millis(1))
        .get("/", fields)
        .start();
    load.passed(20).await?;
    for swap in 0..100 {
        weir.rewrite_config(&config(if swap % 2 == 0 { "2" } else { "1" }))?;
        reload(&weir, name, swap + 2).await.with_context(|| format!("swap {swap}"))?;
        load.passed(1).await?;
    }
    for swap in 100..200 {
        let mut version = code.clone();
        if swap % 2 == 0 {
            // A custom section (WebAssembly 1.0, 5.5.3) of 4 bytes: another file that does the same.
            version.extend_from_slice(&[0, 4, 3, b'o', b'n', b'e']);
        }
        weir.write_file("filter.wasm", version)?;
        let path = format!("/filters/{name}/swap");
        let answer = weir.admin_post(&path, b"").await?;
        ensure!(answer.status == 200, "swap {swap}: {}", answer.text());
        let now = told(&weir, name).await?;
        ensure!(number(&now, "/generation") == swap + 2, "swap {swap}: {now}");
        load.passed(1).await?;
    }
    let report = load.stop().await?;
    report.all_ok()?;
    assert_old_generations_are_freed(&weir, name).await?;
    let now = told(&weir, name).await?;
    assert_eq!((number(&now, "/generation"), &now["faults"]), (201, &serde_json::json!({})), "{now}");
    assert!(report.ok >= 200, "{report}");
    Ok(())
}

async fn assert_old_generations_are_freed(weir: &WeirProcess, name: &str) -> Result<Value> {
    eventually("one snapshot", async || {
        let config = weir.admin_get("/config").await.ok()?.json().ok()?;
        (number(&config, "/snapshots") == 1).then_some(())
    })
    .await?;
    until_told(weir, name, "an instance for each worker", |told| told["instances"] == 2).await
}

fn from_file(name: &str, rest: &str) -> String {
    format!("[filters.{name}]\nwasm = \"{{dir}}/filter.wasm\"\n{rest}\n")
}

#[tokio::test]
async fn the_router_is_swapped_200_times_without_one_failed_request() -> Result<()> {
    two_hundred_times("weir-filter-router", "routes", &from_file("routes", ""), &[]).await
}

#[tokio::test]
async fn jwt_is_swapped_200_times_without_one_failed_request() -> Result<()> {
    let filter = from_file(
        "login",
        "[filters.login.config]\nsecret = \"a-secret-for-tests-of-32-bytes!!\"\nalgorithms = [\"HS256\"]\nskew = \"6VARIANTs\"",
    );
    let token = format!("Bearer {}", super::token::hs256("a-secret-for-tests-of-32-bytes!!", "ann", 3_600)?);
    two_hundred_times("weir-filter-jwt", "login", &filter, &[("authorization", &token)]).await
}

#[tokio::test]
async fn api_key_is_swapped_200_times_without_one_failed_request() -> Result<()> {
    let digest = super::token::sha256("the-key");
    let filter = from_file(
        "partners",
        &format!(
            "[filters.partners.config]\nremember = \"6VARIANTs\"\n[filters.partners.config.keys]\nacme = \"{digest}\""
        ),
    );
    two_hundred_times("weir-filter-api-key", "partners", &filter, &[("x-api-key", "the-key")]).await
}

#[tokio::test]
async fn canary_is_swapped_200_times_without_one_failed_request() -> Result<()> {
    let filter = from_file(
        "canary",
        "[filters.canary.config]\ncluster = \"users\"\nstop = {}\n\
         versions = [{ label = \"v1\", weight = 9 }, { label = \"v2\", weight = VARIANT }]",
    );
    two_hundred_times("weir-filter-canary", "canary", &filter, &[]).await
}

#[tokio::test]
async fn the_circuit_breaker_is_swapped_200_times_without_one_failed_request() -> Result<()> {
    let filter =
        from_file("breaker", "[filters.breaker.config]\ncluster = \"users\"\nopen_for = \"VARIANTs\"");
    two_hundred_times("weir-filter-circuit-breaker", "breaker", &filter, &[]).await
}

#[tokio::test]
async fn an_exchange_finishes_on_the_generation_it_began_with() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let with_bodies = |limit: u32| {
        let config = format!("without = []\nbody_limit = {limit}");
        Ok::<_, anyhow::Error>(chain(origin.address(), &["a"], &puppet("a", &config, "")?))
    };
    let weir = weir(with_bodies(16)?).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("POST / HTTP/1.1\r\nhost: t\r\nx-a: memo 1\r\ncontent-length: 10\r\n\r\n").await?;
    until_told(&weir, "a", "the head", |told| number(told, "/calls/request") == 1).await?;
    weir.rewrite_config(&with_bodies(4)?)?;
    reload(&weir, "a", 2).await?;
    let config = weir.admin_get("/config").await?.json()?;
    assert_eq!(number(&config, "/snapshots"), 2, "{config}");
    let new = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!(new.status, 200);
    let large = Http1::connect(weir.address("web")?).await?.request("POST", "/", &[], b"0123456789").await?;
    assert_eq!(large.status, 413, "new exchanges meet the new version");
    client.send("0123456789").await?;
    let old = client.response("POST").await?;
    assert_eq!((old.status, &old.json()?["body_length"]), (200, &10.into()));
    assert_old_generations_are_freed(&weir, "a").await?;
    // The connection, which idles since, serves on with the new version.
    assert_eq!(client.request("POST", "/", &[], b"0123456789").await?.status, 413);
    Ok(())
}

#[tokio::test]
async fn numbers_values_and_metrics_survive_a_swap() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let version = |limit: u32| {
        let config = format!("body_limit = {limit}");
        Ok::<_, anyhow::Error>(chain(origin.address(), &["a"], &puppet("a", &config, "")?))
    };
    let weir = weir(version(1)?).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for swap in 1..=5_u64 {
        let answer = client.request("GET", "/", &[("x-a", "count")], b"").await?;
        assert_eq!(received(&answer, "x-a-count")?, Some(format!("{swap} {swap}")));
        weir.rewrite_config(&version(swap as u32 + 1)?)?;
        reload(&weir, "a", swap + 1).await?;
    }
    let now = until_told(&weir, "a", "the last end", |told| number(told, "/calls/complete") == 5).await?;
    assert_eq!(number(&now, "/calls/request"), 5, "{now}");
    until_counted(&weir, "weir_filter_completed_total{filter=\"a\"}", 5.0).await?;
    assert_eq!(weir.metric("weir_filter_generation{filter=\"a\"}").await?, Some(6.0));
    // Instances of the generation before are gone once its last exchange is, on every worker.
    eventually("two instances", async || {
        let instances = weir.metric("weir_filter_instances{filter=\"a\"}").await.ok()?;
        (instances == Some(2.0)).then_some(())
    })
    .await?;
    let now = told(&weir, "a").await?;
    let memory = weir.metric("weir_filter_memory_bytes{filter=\"a\"}").await?;
    assert_eq!(memory, Some(number(&now, "/memory_bytes") as f64));
    assert!(memory > Some(0.0));
    Ok(())
}

#[tokio::test]
async fn a_version_that_is_refused_changes_nothing_and_is_told_everywhere() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let code = std::fs::read(build_guest("weir-guest-puppet")?)?;
    let config = |more: &str, inner: &str| {
        let filter =
            format!("[filters.a]\nwasm = \"{{dir}}/filter.wasm\"\n{more}\n[filters.a.config]\n{inner}\n");
        chain(origin.address(), &["a"], &filter)
    };
    let weir = Launch::new(WEIR, config("", "")).file("filter.wasm", code.clone()).start().await?;
    let load = LoadPlan::new(weir.address("web")?, "/").between(Duration::from_millis(1)).start();
    let zeros = "0".repeat(64);
    let bad: [(&[u8], String, &str); 5] = [
        (b"no wasm", config("", ""), "filters.a"),
        // An empty component: it exports nothing of the contract.
        (b"\0asm\x0d\0\x01\0", config("", ""), "filters.a"),
        (&code, config(&format!("sha256 = \"{zeros}\""), ""), "sha256"),
        (&code, config("", "refuse = \"not today\""), "not today"),
        (&code, config("", "clusters = [\"nowhere\"]"), "nowhere"),
    ];
    for (code, config, reason) in bad {
        weir.write_file("filter.wasm", code)?;
        weir.rewrite_config(&config)?;
        let answer = weir.admin_post("/reload", b"").await?;
        assert!(answer.status == 409 && answer.text().contains(reason), "{reason}: {}", answer.text());
        let standing = weir.admin_get("/config").await?.json()?;
        assert!(standing["last_error"].to_string().contains(reason), "{standing}");
        weir.line_with(reason).await?;
        assert_eq!(number(&told(&weir, "a").await?, "/generation"), 1);
        load.passed(5).await?;
    }
    assert!(weir.metric("weir_config_reloads_total{result=\"failed\"}").await? >= Some(5.0));
    load.stop().await?.all_ok()?;
    assert_eq!(number(&told(&weir, "a").await?, "/instances"), 2);
    weir.write_file("filter.wasm", &code)?;
    weir.rewrite_config(&config("", "body_limit = 3"))?;
    reload(&weir, "a", 2).await
}
