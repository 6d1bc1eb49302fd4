//! Which endpoint gets an exchange, seen from the endpoints.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::task::JoinSet;
use weir_testkit::{EchoOrigin, Http1, WeirProcess};

use super::{Nobody, count, endpoint, endpoints, logged, reaches, reasons, settled};
use crate::stage::weir;

async fn origins(number: usize) -> Result<Vec<EchoOrigin>> {
    let mut all = Vec::new();
    for index in 0..number {
        all.push(EchoOrigin::start(&format!("o{index}")).await?);
    }
    Ok(all)
}

fn requests(origins: &[EchoOrigin]) -> Vec<usize> {
    origins.iter().map(EchoOrigin::requests).collect()
}

fn weighing(address: SocketAddr, weight: u32) -> String {
    format!("{{ address = \"{address}\", weight = {weight} }}")
}

/// So many exchanges on so many connections, each answered 200.
async fn load(weir: &WeirProcess, path: &'static str, clients: usize, each: usize) -> Result<()> {
    let address = weir.address("web")?;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(async move {
            let mut client = Http1::connect(address).await?;
            for _ in 0..each {
                let told = client.get(path).await?;
                anyhow::ensure!(told.status == 200, "{}: {}", told.status, told.text());
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

#[tokio::test]
async fn round_robin_is_exact_whatever_the_workers() -> Result<()> {
    let all = origins(3).await?;
    let list: Vec<_> = all.iter().map(|origin| endpoint(origin.address())).collect();
    let weir = weir(endpoints(&list, "balancer = \"round_robin\"")).await?;
    load(&weir, "/", 5, 12).await?;
    assert_eq!(requests(&all), [20, 20, 20]);
    Ok(())
}

#[tokio::test]
async fn weights_are_proportions_and_zero_is_out() -> Result<()> {
    for (balancer, exact) in [("round_robin", true), ("random", false), ("least_request", false)] {
        let all = origins(3).await?;
        let list: Vec<_> =
            all.iter().zip([3, 1, 0]).map(|(origin, weight)| weighing(origin.address(), weight)).collect();
        let weir = weir(endpoints(&list, &format!("balancer = \"{balancer}\""))).await?;
        load(&weir, "/", 1, 400).await?;
        let got = requests(&all);
        // 400 draws with p = 3/4 have a deviation of 8.7: this is more than six of them.
        let bound = if exact { 0 } else { 55 };
        assert!(got[0].abs_diff(300) <= bound && got[2] == 0, "{balancer}: {got:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_endpoint_gets_little() -> Result<()> {
    for balancer in ["least_request", "peak_ewma"] {
        let all = origins(3).await?;
        let slow = weir_testkit::FaultyPipe::start(all[0].address()).await?;
        slow.set(weir_testkit::Faults { delay: std::time::Duration::from_millis(150), ..Default::default() });
        let list = [slow.address(), all[1].address(), all[2].address()].map(endpoint);
        let weir = weir(endpoints(&list, &format!("balancer = \"{balancer}\""))).await?;
        load(&weir, "/", 6, 100).await?;
        let got = requests(&all);
        // A third would be its even share.
        assert!(got[0] < 100, "{balancer}: {got:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_costs_nobody_an_answer() -> Result<()> {
    for balancer in ["round_robin", "peak_ewma"] {
        let good = EchoOrigin::start("good").await?;
        let nobody = Nobody::new()?;
        let list = [endpoint(nobody.address()?), endpoint(good.address())];
        let keys = format!("balancer = \"{balancer}\"\nejection = {{ consecutive_failures = 0 }}");
        let weir = weir(endpoints(&list, &keys)).await?;
        load(&weir, "/", 2, 20).await?;
        assert_eq!(good.requests(), 40);
        let retries = count(&weir, "weir_cluster_retries_total{cluster=\"origin\"}").await?;
        let refused = "weir_cluster_connect_failures_total{cluster=\"origin\",reason=\"refused\"}";
        reaches(&weir, refused, retries).await?;
        match balancer {
            // Its own turns, and those that come after a retry took the other's.
            "round_robin" => assert!((20.0..=40.0).contains(&retries), "{retries}"),
            _ => assert!(retries < 20.0, "{retries}"),
        }
        let failed = "weir_cluster_attempts_total{cluster=\"origin\",result=\"failed\"}";
        reaches(&weir, failed, retries).await?;
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn retries_are_bounded_and_all_endpoints_down_is_said() -> Result<()> {
    for (retries, attempts) in [(0, 1), (1, 2), (3, 4)] {
        let (one, other) = (Nobody::new()?, Nobody::new()?);
        let list = [endpoint(one.address()?), endpoint(other.address()?)];
        let config = endpoints(&list, &format!("retries = {retries}\n[access_log]\nto = \"stdout\"\n"));
        let weir = weir(config).await?;
        let told = Http1::fetch(weir.address("web")?, "/").await?;
        assert_eq!((told.status, told.field("retry-after")), (503, Some("1")));
        assert!(told.field("proxy-status").is_some_and(|s| s.contains("error=connection_refused")));
        assert_eq!(logged(&weir, 1).await?[0]["attempts"], attempts);
        reasons(&weir, "connect_refused", 1.0).await?;
        settled(&weir).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_was_not_sent_goes_to_the_next_endpoint() -> Result<()> {
    let good = EchoOrigin::start("good").await?;
    let nobody = Nobody::new()?;
    let list = [endpoint(nobody.address()?), endpoint(good.address())];
    let weir = weir(endpoints(&list, "balancer = \"round_robin\"")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..4 {
        let told = client.request("POST", "/echo", &[], b"all of it").await?;
        assert_eq!((told.status, told.text().as_str()), (200, "all of it"));
    }
    Ok(())
}

#[tokio::test]
async fn routes_choose_endpoints_by_label() -> Result<()> {
    let all = origins(3).await?;
    let list: Vec<_> = all
        .iter()
        .zip(["v1", "v2", "v2"])
        .map(|(origin, version)| {
            format!("{{ address = \"{}\", labels = {{ version = \"{version}\" }} }}", origin.address())
        })
        .collect();
    let route = |prefix: &str, version: &str| {
        format!(
            "[[filters.routes.config.routes]]\nmatch = {{ path_prefix = \"{prefix}\" }}\n\
             cluster = \"origin\"\nsubset = {{ version = \"{version}\" }}\n"
        )
    };
    let routes = [route("/v1", "v1"), route("/v2", "v2"), route("/v3", "v3")].concat();
    let more = format!("balancer = \"round_robin\"\n[filters.routes]\nwasm = \"builtin:router\"\n{routes}");
    let config = endpoints(&list, &more).replacen("cluster = \"origin\"", "chain = [\"routes\"]", 1);
    let weir = weir(config).await?;
    load(&weir, "/v1", 1, 10).await?;
    load(&weir, "/v2", 1, 10).await?;
    assert_eq!(requests(&all), [10, 5, 5]);
    let none = Http1::fetch(weir.address("web")?, "/v3").await?;
    assert_eq!(none.status, 503);
    reasons(&weir, "no_endpoint", 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn the_admin_api_shows_what_is_known_of_endpoints() -> Result<()> {
    let good = EchoOrigin::start("good").await?;
    let nobody = Nobody::new()?;
    let list = [endpoint(nobody.address()?), endpoint(good.address())];
    let weir = weir(endpoints(&list, "balancer = \"round_robin\"")).await?;
    load(&weir, "/delay/20", 1, 6).await?;
    settled(&weir).await?;
    let told = weir.admin_get("/clusters").await?.json()?;
    let cluster = &told[0];
    assert_eq!((cluster["name"].as_str(), cluster["requests"].as_u64()), (Some("origin"), Some(0)));
    let (down, up) = (&cluster["endpoints"][0], &cluster["endpoints"][1]);
    assert!(down["failed"].as_u64() >= Some(3) && down["answered"] == 0, "{told}");
    assert_eq!((up["failed"].as_u64(), up["answered"].as_u64()), (Some(0), Some(6)), "{told}");
    let number = |of: &serde_json::Value, key: &str| of[key].as_f64().unwrap_or_default();
    assert!(number(up, "ewma_ms") >= 5.0 && number(up, "ewma_ms") < number(down, "ewma_ms"), "{told}");
    assert!(number(up, "score") <= number(up, "ewma_ms") * 1.01, "{told}");
    assert_eq!(up["in_flight"], 0);
    Ok(())
}
