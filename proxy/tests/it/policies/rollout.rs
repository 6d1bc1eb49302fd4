//! `builtin:canary` and `builtin:circuit-breaker` in the real proxy.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Http1, WeirProcess, eventually};

use super::{both_workers, chain, number, told, until_counted};
use crate::stage::weir;

/// Two versions of the cluster `users`, and a cache beside it, under a filter of the test's.
struct Stage {
    old: EchoOrigin,
    new: EchoOrigin,
    cache: EchoOrigin,
    weir: WeirProcess,
}

fn config(old: &EchoOrigin, new: &EchoOrigin, cache: &EchoOrigin, filter: &str) -> String {
    let more = format!(
        "[filters.routes]\nwasm = \"builtin:router\"\n[[filters.routes.config.routes]]\ncluster = \"users\"\n\n{filter}\n\n\
         [clusters.users]\nendpoints = [\n  {{ address = \"{}\", labels = {{ version = \"v1\" }} }},\n  \
         {{ address = \"{}\", labels = {{ version = \"v2\" }} }},\n]\n\n\
         [clusters.cache]\nendpoints = [{{ address = \"{}\" }}]\n",
        old.address(),
        new.address(),
        cache.address(),
    );
    chain(cache.address(), &["routes", "tested"], &more)
}

async fn stage(filter: &str) -> Result<Stage> {
    let (old, new) = (EchoOrigin::start("old").await?, EchoOrigin::start("new").await?);
    let cache = EchoOrigin::start("cache").await?;
    let weir = weir(config(&old, &new, &cache, filter)).await?;
    Ok(Stage { old, new, cache, weir })
}

fn canary(config: &str) -> String {
    format!(
        "[filters.tested]\nwasm = \"builtin:canary\"\n[filters.tested.config]\ncluster = \"users\"\n{config}\n"
    )
}

const TEN_PERCENT: &str = "versions = [{ label = \"v1\", weight = 90 }, { label = \"v2\", weight = 10 }]\n";

#[tokio::test]
async fn traffic_is_split_by_weight_and_forced_where_callers_say_so() -> Result<()> {
    let stage = stage(&canary(&format!("{TEN_PERCENT}force = {{ header = \"x-version\" }}\n"))).await?;
    let mut client = Http1::connect(stage.weir.address("web")?).await?;
    for _ in 0..1_000 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    // Binomial(1000, 0.1): outside of this once in some ten million runs.
    assert!((50..=160).contains(&stage.new.requests()), "{} of 1000", stage.new.requests());
    for (version, origin) in [("v1", "old"), ("v2", "new")] {
        for _ in 0..10 {
            let told = client.request("GET", "/", &[("x-version", version)], b"").await?;
            assert_eq!(told.json()?["origin"], origin);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_sticky_caller_meets_the_same_version_on_every_worker() -> Result<()> {
    let stage =
        stage(&canary(&format!("{}sticky = {{ header = \"x-user\" }}\n", TEN_PERCENT.replace("90", "10"))))
            .await?;
    let mut clients = both_workers(&stage.weir).await?;
    let mut versions = BTreeMap::new();
    for round in 0..3 {
        for user in 0..40 {
            let name = format!("user-{user}");
            for client in &mut clients {
                let told = client.request("GET", "/", &[("x-user", &name)], b"").await?.json()?;
                let version = told["origin"].as_str().context("origin")?.to_owned();
                let known = versions.entry(user).or_insert_with(|| version.clone());
                assert_eq!(*known, version, "{name} in round {round}");
            }
        }
    }
    let on_new = versions.values().filter(|version| *version == "new").count();
    assert!((5..=35).contains(&on_new), "{on_new} of 40");
    Ok(())
}

#[tokio::test]
async fn a_new_version_that_fails_is_taken_back() -> Result<()> {
    let stage = stage(&canary(&format!(
        "{}stop = {{ min_requests = 20, window = \"30s\" }}\n",
        TEN_PERCENT.replace("90", "10")
    )))
    .await?;
    stage.new.fail(true);
    let mut client = Http1::connect(stage.weir.address("web")?).await?;
    eventually("the stop", async || {
        client.get("/").await.ok()?;
        let stops = stage.weir.metric("weir_filter_canary_stops_total{filter=\"tested\"}").await.ok()?;
        (stops >= Some(1.0)).then_some(())
    })
    .await?;
    eventually("no more of the new version", async || {
        let before = stage.new.requests();
        for _ in 0..20 {
            client.get("/").await.ok()?;
        }
        (stage.new.requests() == before).then_some(())
    })
    .await
}

const BREAKER: &str = "[filters.tested]\nwasm = \"builtin:circuit-breaker\"\n[filters.tested.config]\n\
    cluster = \"users\"\nopen_at = { in_a_row = 5 }\nopen_for = \"300ms\"\nopen_at_most = \"300ms\"\n";

fn fails(stage: &Stage, failing: bool) {
    stage.old.fail(failing);
    stage.new.fail(failing);
}

#[tokio::test]
async fn the_breaker_opens_for_all_workers_and_a_swap_does_not_close_it() -> Result<()> {
    let stage = stage(&BREAKER.replace("300ms", "60s")).await?;
    let [mut one, mut other] = both_workers(&stage.weir).await?;
    fails(&stage, true);
    for _ in 0..5 {
        assert_eq!(one.get("/").await?.status, 500);
    }
    // What came of an exchange is known when all of its answer has been sent: perhaps only after it has arrived.
    until_counted(&stage.weir, "weir_filter_breaker_opened_total{filter=\"tested\"}", 1.0).await?;
    let opened = other.get("/").await?;
    assert_eq!(opened.status, 503, "the other worker knows");
    assert!(opened.field("retry-after").is_some());
    let asked = stage.old.requests() + stage.new.requests();
    for _ in 0..5 {
        assert_eq!((one.get("/").await?.status, other.get("/").await?.status), (503, 503));
    }
    let swapped = config(&stage.old, &stage.new, &stage.cache, &BREAKER.replace("300ms", "50s"));
    stage.weir.rewrite_config(&swapped)?;
    assert_eq!(stage.weir.admin_post("/reload", b"").await?.status, 200);
    assert_eq!(number(&told(&stage.weir, "tested").await?, "/generation"), 2);
    assert_eq!((one.get("/").await?.status, other.get("/").await?.status), (503, 503));
    assert_eq!(stage.old.requests() + stage.new.requests(), asked);
    let rejected = stage.weir.metric("weir_filter_breaker_rejected_total{filter=\"tested\"}").await?;
    assert_eq!(rejected, Some(13.0));
    Ok(())
}

#[tokio::test]
async fn the_breaker_probes_and_closes_when_the_cluster_is_back() -> Result<()> {
    let stage = stage(BREAKER).await?;
    let [mut one, mut other] = both_workers(&stage.weir).await?;
    fails(&stage, true);
    eventually("the breaker opening", async || (one.get("/").await.ok()?.status == 503).then_some(()))
        .await?;
    eventually("a probe that fails", async || (other.get("/").await.ok()?.status == 500).then_some(()))
        .await?;
    eventually("being open again", async || (one.get("/").await.ok()?.status == 503).then_some(())).await?;
    fails(&stage, false);
    eventually("a probe that goes well", async || (other.get("/").await.ok()?.status == 200).then_some(()))
        .await?;
    until_counted(&stage.weir, "weir_filter_breaker_closed_total{filter=\"tested\"}", 1.0).await?;
    for _ in 0..10 {
        assert_eq!((one.get("/").await?.status, other.get("/").await?.status), (200, 200));
    }
    for (name, least) in [("opened", 2.0), ("probes", 2.0), ("rejected", 2.0)] {
        let series = format!("weir_filter_breaker_{name}_total{{filter=\"tested\"}}");
        let counted = stage.weir.metric(&series).await?;
        assert!(counted >= Some(least), "{series} {counted:?}");
    }
    Ok(())
}

#[tokio::test]
async fn while_open_the_fallback_answers() -> Result<()> {
    let stage =
        stage(&format!("{}fallback = {{ cluster = \"cache\" }}\n", BREAKER.replace("300ms", "60s"))).await?;
    let mut client = Http1::connect(stage.weir.address("web")?).await?;
    fails(&stage, true);
    for _ in 0..5 {
        assert_eq!(client.get("/").await?.status, 500);
    }
    let told = client.get("/").await?;
    assert_eq!((told.status, told.json()?["origin"].as_str()), (200, Some("cache")));
    assert_eq!(stage.cache.requests(), 1);
    Ok(())
}
