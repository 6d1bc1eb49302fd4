//! Files of endpoints: read when they are replaced, kept as they were when they are not in order.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Launch, LoadPlan, WeirProcess, eventually};

use super::{config, failure, has_endpoints, shown};
use crate::stage::WEIR;

fn toml(origins: &[&EchoOrigin]) -> String {
    let one = |origin: &&EchoOrigin| format!("[[endpoints]]\naddress = \"{}\"\n", origin.address());
    let listed: String = origins.iter().map(one).collect();
    if listed.is_empty() { "endpoints = []\n".to_owned() } else { listed }
}

fn names(origins: &[&EchoOrigin]) -> Vec<String> {
    origins.iter().map(|origin| origin.address().to_string()).collect()
}

async fn reading(name: &str, content: &str) -> Result<WeirProcess> {
    let config = config(&format!("discovery = {{ file = \"{name}\" }}"), "");
    Launch::new(WEIR, config).file(name, content).start().await
}

#[tokio::test]
async fn a_file_that_is_replaced_changes_the_endpoints_and_keeps_what_stays() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = reading("users.toml", &toml(&[&one])).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 200);
    weir.write_file("users.toml", toml(&[&one, &two]))?;
    has_endpoints(&weir, &names(&[&one, &two])).await?;
    for _ in 0..8 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    assert_eq!((one.requests() + two.requests(), one.connections()), (9, 1), "connections stay");
    assert!(two.requests() > 0);
    let answered = shown(&weir).await?["endpoints"][0]["answered"].as_u64();
    assert!(answered > Some(1), "so do statistics: {answered:?}");
    weir.write_file("users.toml", toml(&[]))?;
    has_endpoints(&weir, &[]).await?;
    assert_eq!(client.get("/").await?.status, 503);
    weir.write_file("users.toml", toml(&[&two]))?;
    has_endpoints(&weir, &names(&[&two])).await?;
    assert_eq!(client.get("/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_whose_weight_or_labels_change_is_what_it_was() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    one.fail(true);
    let list = |keys: &str| {
        let (one, two) = (one.address(), two.address());
        format!("endpoints = [{{ address = \"{one}\"{keys} }}, {{ address = \"{two}\" }}]\n")
    };
    let keys = "discovery = { file = \"users.toml\" }\nretries = 0\n\
        health = { check = \"http\", interval = \"50ms\", fall = 2 }";
    let weir = Launch::new(WEIR, config(keys, "")).file("users.toml", list("")).start().await?;
    let out = "weir_cluster_endpoints_out{cluster=\"origin\"}";
    eventually("an unhealthy endpoint", async || (weir.metric(out).await.ok()?? == 1.0).then_some(()))
        .await?;
    for _ in 0..4 {
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    }
    for (change, key) in [(", weight = 3", "weight"), (", labels = { version = \"v2\" }", "labels")] {
        weir.write_file("users.toml", list(change))?;
        let before = if key == "weight" { serde_json::json!(1) } else { serde_json::json!({}) };
        let shown = eventually("the change", async || {
            let endpoint = shown(&weir).await.ok()?["endpoints"][0].clone();
            (endpoint[key] != before).then_some(endpoint)
        });
        let shown = shown.await?;
        assert_eq!(shown["health"]["state"], "unhealthy", "{shown}");
        assert_eq!(weir.metric(out).await?, Some(1.0));
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    }
    assert!(shown(&weir).await?["endpoints"][1]["answered"].as_u64() >= Some(6));
    Ok(())
}

#[tokio::test]
async fn a_change_makes_nobody_who_stays_be_checked_anew() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let health = "health = { check = \"http\", interval = \"1h\", rise = 1, initial = \"unhealthy\" }";
    let keys = format!("discovery = {{ file = \"users.toml\" }}\n{health}");
    let weir = Launch::new(WEIR, config(&keys, "")).file("users.toml", toml(&[&one])).start().await?;
    let out = "weir_cluster_endpoints_out{cluster=\"origin\"}";
    let all_in = async || (weir.metric(out).await.ok()?? == 0.0).then_some(());
    eventually("the first check", async || (one.requests() == 1).then_some(())).await?;
    eventually("a healthy endpoint", all_in).await?;
    weir.write_file("users.toml", toml(&[&one, &two]))?;
    eventually("a check of the other", async || (two.requests() == 1).then_some(())).await?;
    eventually("two healthy endpoints", all_in).await?;
    let heavier = toml(&[&one, &two]).replacen('\n', "\nweight = 2\n", 1);
    weir.write_file("users.toml", heavier)?;
    eventually("the weight", async || {
        (shown(&weir).await.ok()?["endpoints"][0]["weight"] == 2).then_some(())
    })
    .await?;
    assert_eq!((one.requests(), two.requests()), (1, 1));
    assert_eq!(weir.metric(out).await?, Some(0.0));
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_with_its_place_and_changes_nothing() -> Result<()> {
    let one = EchoOrigin::start("one").await?;
    let good = format!("{{\n \"endpoints\": [\n  {{ \"address\": \"{}\" }}\n ]\n}}", one.address());
    let weir = reading("users.json", &good).await?;
    has_endpoints(&weir, &names(&[&one])).await?;
    for (bad, told) in [
        ("{\n \"endpoints\": [\n  { \"address\": \"nonsense\" }\n ]\n}", "line 3, endpoints[0].address"),
        ("{\n \"endpoints\": [", "line 2"),
        ("{}", "the key `endpoints` is missing"),
        ("{ \"endpoints\": [], \"more\": 1 }", "unknown key `more`"),
    ] {
        weir.write_file("users.json", bad)?;
        let found =
            eventually(told, async || failure(&weir).await.ok().filter(|reason| reason.contains(told)));
        found.await?;
        has_endpoints(&weir, &names(&[&one])).await?;
    }
    weir.write_file("users.json", &good)?;
    weir.line_with("nothing is wrong there any more").await?;
    let failed = weir.metric("weir_cluster_discovery_total{cluster=\"origin\",result=\"failed\"}").await?;
    assert!(failed >= Some(4.0), "{failed:?}");
    Ok(())
}

#[tokio::test]
async fn a_start_on_a_file_with_an_error_is_refused() -> Result<()> {
    let config = config("discovery = { file = \"users.toml\" }", "");
    let told = Launch::new(WEIR, config).file("users.toml", "endpoints = 3\n").refused().await?;
    let told = told.stderr.join("\n");
    assert!(told.contains("clusters.origin") && told.contains("line 1"), "{told}");
    Ok(())
}

#[tokio::test]
async fn changes_under_load_fail_no_request() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = reading("users.toml", &toml(&[&one, &two])).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").start();
    for round in 0..30 {
        let origins: &[&EchoOrigin] = match round % 3 {
            0 => &[&one, &two],
            1 => &[&one],
            _ => &[&two],
        };
        weir.write_file("users.toml", toml(origins))?;
        has_endpoints(&weir, &names(origins)).await?;
        load.passed(10).await?;
    }
    load.stop().await?.all_ok()
}
