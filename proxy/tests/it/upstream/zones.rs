//! Traffic stays in the proxy's zone while that suffices.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Launch, WeirProcess};

use super::{count, endpoints, reaches};
use crate::stage::{WEIR, weir};

const OUT: &str = "weir_cluster_endpoints_out{cluster=\"origin\"}";
const HEALTH: &str =
    "ejection = { consecutive_failures = 0 }\nhealth = { check = \"http\", interval = \"50ms\" }";

/// Origins in these zones.
async fn origins(zones: &[&str]) -> Result<(Vec<EchoOrigin>, Vec<String>)> {
    let (mut all, mut list) = (Vec::new(), Vec::new());
    for (index, zone) in zones.iter().enumerate() {
        let origin = EchoOrigin::start(&format!("o{index}")).await?;
        list.push(format!("{{ address = \"{}\", zone = \"{zone}\" }}", origin.address()));
        all.push(origin);
    }
    Ok((all, list))
}

fn config(list: &[String], keys: &str) -> String {
    endpoints(list, &format!("balancer = \"round_robin\"\n{keys}\n[node]\nzone = \"a\"\n"))
}

/// How many of so many exchanges each origin answered.
async fn shares(weir: &WeirProcess, origins: &[EchoOrigin], number: usize) -> Result<Vec<usize>> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    let mut shares = vec![0; origins.len()];
    for _ in 0..number {
        let answer = client.get("/").await?;
        let name = answer.field("x-origin").unwrap_or_default();
        if let Ok(index) = name.trim_start_matches('o').parse::<usize>() {
            shares[index] += 1;
        }
    }
    Ok(shares)
}

async fn picks(weir: &WeirProcess, zone: &str) -> Result<f64> {
    count(weir, &format!("weir_cluster_zone_picks_total{{cluster=\"origin\",zone=\"{zone}\"}}")).await
}

#[tokio::test]
async fn the_own_zone_takes_all_until_it_cannot_and_others_what_it_does_not() -> Result<()> {
    let (all, list) = origins(&["a", "a", "b", "b"]).await?;
    let weir = weir(config(&list, HEALTH)).await?;
    assert_eq!(shares(&weir, &all, 20).await?, [10, 10, 0, 0]);
    assert_eq!((picks(&weir, "own").await?, picks(&weir, "other").await?), (20.0, 0.0));
    let shown = weir.admin_get("/clusters").await?.json()?;
    assert_eq!((&shown[0]["own_zone"], &shown[0]["endpoints"][2]["zone"]), (&"a".into(), &"b".into()));
    // What is left weighs a third of all in use: 1.4 times two thirds stay.
    all[0].fail(true);
    reaches(&weir, OUT, 1.0).await?;
    let told = shares(&weir, &all, 600).await?;
    assert!(told[0] == 0 && (510..600).contains(&told[1]) && told[2] > 0 && told[3] > 0, "{told:?}");
    all[1].fail(true);
    reaches(&weir, OUT, 2.0).await?;
    assert_eq!(shares(&weir, &all, 20).await?, [0, 0, 10, 10]);
    all[0].fail(false);
    all[1].fail(false);
    reaches(&weir, OUT, 0.0).await?;
    assert_eq!(shares(&weir, &all, 20).await?, [10, 10, 0, 0]);
    // And if it is the others that are down, all stays.
    all[2].fail(true);
    all[3].fail(true);
    reaches(&weir, OUT, 2.0).await?;
    assert_eq!(shares(&weir, &all, 20).await?, [10, 10, 0, 0]);
    assert_eq!(count(&weir, "weir_cluster_panics_total{cluster=\"origin\"}").await?, 0.0);
    Ok(())
}

#[tokio::test]
async fn when_too_few_are_left_anywhere_zones_do_not_count() -> Result<()> {
    let (all, list) = origins(&["a", "b", "b"]).await?;
    let weir = weir(config(&list, HEALTH)).await?;
    all[1].fail(true);
    all[2].fail(true);
    reaches(&weir, OUT, 2.0).await?;
    let told = shares(&weir, &all, 30).await?;
    assert!(told.iter().all(|share| *share > 0), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_zone_is_within_a_priority_and_a_retry_may_leave_it() -> Result<()> {
    let (all, mut list) = origins(&["b", "a", "a"]).await?;
    list[2] = list[2].replace("zone", "priority = 1, zone");
    let weir =
        weir(config(&list, "retry = { statuses = [500] }\nejection = { consecutive_failures = 0 }")).await?;
    // The third is nearer than the first, but of the second priority.
    assert_eq!(shares(&weir, &all, 20).await?, [0, 20, 0]);
    all[1].fail(true);
    assert_eq!(shares(&weir, &all, 20).await?, [20, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn the_preference_can_be_turned_off_and_the_environment_may_tell_the_zone() -> Result<()> {
    let (all, list) = origins(&["a", "b"]).await?;
    let off = weir(config(&list, "zone_preference = false")).await?;
    assert_eq!(shares(&off, &all, 20).await?, [10, 10]);
    assert_eq!(picks(&off, "own").await?, 0.0);
    let told = Launch::new(WEIR, config(&list, "")).environment("WEIR_ZONE", "b").start().await?;
    assert_eq!(shares(&told, &all, 20).await?, [0, 20]);
    Ok(())
}
