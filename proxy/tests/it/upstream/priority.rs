//! Which endpoints are used first, and where traffic goes when they do not suffice.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, WeirProcess};

use super::{count, endpoints, reaches};
use crate::stage::weir;

const OUT: &str = "weir_cluster_endpoints_out{cluster=\"origin\"}";
const HEALTH: &str = "health = { check = \"http\", interval = \"50ms\" }";

async fn origins(number: usize) -> Result<Vec<EchoOrigin>> {
    let mut all = Vec::new();
    for index in 0..number {
        all.push(EchoOrigin::start(&format!("o{index}")).await?);
    }
    Ok(all)
}

/// How many of so many exchanges each origin answered.
async fn shares(weir: &WeirProcess, origins: &[EchoOrigin], number: usize) -> Result<Vec<usize>> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    let mut shares = vec![0; origins.len()];
    for _ in 0..number {
        let told = client.get("/").await?;
        let name = told.field("x-origin").unwrap_or_default();
        if let Ok(index) = name.trim_start_matches('o').parse::<usize>() {
            shares[index] += 1;
        }
    }
    Ok(shares)
}

fn list(origins: &[EchoOrigin], priorities: &[u32]) -> Vec<String> {
    let one = |(origin, priority): (&EchoOrigin, &u32)| {
        format!("{{ address = \"{}\", priority = {priority} }}", origin.address())
    };
    origins.iter().zip(priorities).map(one).collect()
}

#[tokio::test]
async fn the_second_priority_helps_out_and_only_then() -> Result<()> {
    let all = origins(3).await?;
    let keys = format!("balancer = \"round_robin\"\nejection = {{ consecutive_failures = 0 }}\n{HEALTH}");
    let weir = weir(endpoints(&list(&all, &[0, 0, 1]), &keys)).await?;
    assert_eq!(shares(&weir, &all, 20).await?, [10, 10, 0]);
    // One of two: what is left takes seven in ten, by chance.
    all[0].fail(true);
    reaches(&weir, OUT, 1.0).await?;
    let told = shares(&weir, &all, 400).await?;
    assert!(told[0] == 0 && (220..340).contains(&told[1]) && told[2] > 60, "{told:?}");
    all[1].fail(true);
    reaches(&weir, OUT, 2.0).await?;
    assert_eq!(shares(&weir, &all, 20).await?, [0, 0, 20]);
    all[0].fail(false);
    all[1].fail(false);
    reaches(&weir, OUT, 0.0).await?;
    assert_eq!(shares(&weir, &all, 20).await?, [10, 10, 0]);
    assert_eq!(count(&weir, "weir_cluster_panics_total{cluster=\"origin\"}").await?, 0.0);
    Ok(())
}

#[tokio::test]
async fn a_retry_goes_to_the_next_priority_when_the_first_was_tried() -> Result<()> {
    let all = origins(2).await?;
    all[0].fail(true);
    let keys = "retry = { statuses = [500] }\nejection = { consecutive_failures = 0 }";
    let weir = weir(endpoints(&list(&all, &[0, 5]), keys)).await?;
    assert_eq!(shares(&weir, &all, 10).await?, [0, 10]);
    assert_eq!(all[0].requests(), 10);
    Ok(())
}

#[tokio::test]
async fn where_no_endpoint_has_the_labels_any_will_do_if_config_says_so() -> Result<()> {
    let all = origins(2).await?;
    let list: Vec<_> = all
        .iter()
        .zip(["v1", "v2"])
        .map(|(origin, version)| {
            format!("{{ address = \"{}\", labels = {{ version = \"{version}\" }} }}", origin.address())
        })
        .collect();
    for (fallback, status) in [("none", 503), ("any", 200)] {
        let routes = "[filters.routes]\nwasm = \"builtin:router\"\n[[filters.routes.config.routes]]\n\
            cluster = \"origin\"\nsubset = { version = \"v3\" }\n";
        let more = format!("balancer = \"round_robin\"\nsubset_fallback = \"{fallback}\"\n{routes}");
        let config = endpoints(&list, &more).replacen("cluster = \"origin\"", "chain = [\"routes\"]", 1);
        let weir = weir(config).await?;
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, status, "{fallback}");
    }
    Ok(())
}
