//! Endpoints that come into use take their share little by little, if config says so.

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Http1, Launch, WeirProcess, eventually};

use super::{endpoint, endpoints, reaches};
use crate::stage::{WEIR, weir};

const OUT: &str = "weir_cluster_endpoints_out{cluster=\"origin\"}";

/// Weir with a cluster whose endpoints stand in a file.
async fn following(origins: &[&EchoOrigin], keys: &str) -> Result<WeirProcess> {
    let config = endpoints(&[], keys).replace("endpoints = []", "discovery = { file = \"all.toml\" }");
    Launch::new(WEIR, config).file("all.toml", listed(origins)).start().await
}

fn listed(origins: &[&EchoOrigin]) -> String {
    let one = |origin: &&EchoOrigin| endpoint(origin.address());
    format!("endpoints = [{}]\n", origins.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// What the admin API shows of an endpoint's beginning, once there are so many endpoints.
async fn part(weir: &WeirProcess, index: usize, number: usize) -> Result<Option<f64>> {
    let shown = eventually("the endpoints", async || {
        let all = weir.admin_get("/clusters").await.ok()?.json().ok()?;
        let all = all[0]["endpoints"].as_array()?.clone();
        (all.len() == number).then_some(all)
    });
    Ok(shown.await?.get(index).context("no such endpoint")?["slow_start"].as_f64())
}

/// How many of so many exchanges go to `origin`.
async fn share(weir: &WeirProcess, origin: &EchoOrigin, number: usize) -> Result<usize> {
    let before = origin.requests();
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..number {
        assert_eq!(client.get("/").await?.status, 200);
    }
    Ok(origin.requests() - before)
}

#[tokio::test]
async fn who_joins_takes_a_tenth_at_first_under_every_balancer() -> Result<()> {
    let (old, new) = (EchoOrigin::start("old").await?, EchoOrigin::start("new").await?);
    for balancer in ["round_robin", "random", "least_request", "peak_ewma"] {
        let keys = format!("slow_start = \"1h\"\nbalancer = \"{balancer}\"\n");
        let weir = following(&[&old], &keys).await?;
        assert_eq!(part(&weir, 0, 1).await?, None, "there is nobody else");
        weir.write_file("all.toml", listed(&[&old, &new]))?;
        assert_eq!(part(&weir, 1, 2).await?, Some(0.1));
        assert_eq!(part(&weir, 0, 2).await?, None);
        // One in eleven; with two choices up to twice that, and less if it is thought to be slow.
        let taken = share(&weir, &new, 440).await?;
        let least = if balancer == "peak_ewma" { 0 } else { 8 };
        assert!((least..=140).contains(&taken), "{balancer}: {taken}");
    }
    Ok(())
}

#[tokio::test]
async fn who_joins_is_as_the_others_when_the_time_is_over_or_config_says_nothing() -> Result<()> {
    let (old, new) = (EchoOrigin::start("old").await?, EchoOrigin::start("new").await?);
    for keys in ["slow_start = \"1s\"\n", ""] {
        let weir = following(&[&old], &format!("{keys}balancer = \"round_robin\"\n")).await?;
        weir.write_file("all.toml", listed(&[&old, &new]))?;
        part(&weir, 1, 2).await?;
        let whole = async || part(&weir, 1, 2).await.ok()?.is_none().then_some(());
        eventually("the end of its beginning", whole).await?;
        assert_eq!(share(&weir, &new, 40).await?, 20, "{keys}");
    }
    Ok(())
}

#[tokio::test]
async fn who_comes_back_begins_anew() -> Result<()> {
    let all = [EchoOrigin::start("a").await?, EchoOrigin::start("b").await?];
    let list = [all[0].address(), all[1].address()].map(endpoint);
    let checked =
        "ejection = { consecutive_failures = 0 }\nhealth = { check = \"http\", interval = \"50ms\" }";
    for back in ["ejection = { time = \"100ms\" }", checked] {
        let keys = format!("slow_start = \"1h\"\nbalancer = \"round_robin\"\nretries = 0\n{back}\n");
        let weir = weir(endpoints(&list, &keys)).await?;
        assert_eq!(share(&weir, &all[0], 20).await?, 10, "all begin alike");
        all[0].fail(true);
        let out = async || {
            let _ = Http1::fetch(weir.address("web").ok()?, "/").await;
            (weir.metric(OUT).await.ok()?? == 1.0).then_some(())
        };
        eventually("its ejection", out).await?;
        all[0].fail(false);
        let back = async || {
            let _ = Http1::fetch(weir.address("web").ok()?, "/").await;
            (weir.metric(OUT).await.ok()?? == 0.0).then_some(())
        };
        eventually("its return", back).await?;
        assert_eq!(part(&weir, 0, 2).await?, Some(0.1));
        let taken = share(&weir, &all[0], 440).await?;
        assert!((8..=90).contains(&taken), "{taken}");
        reaches(&weir, OUT, 0.0).await?;
    }
    Ok(())
}
