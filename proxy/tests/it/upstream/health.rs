//! Active checks: endpoints are asked whether they are well, and not used while they are not.

use std::net::SocketAddr;

use anyhow::Result;
use weir_testkit::{EchoOrigin, H2Answer, H2Origin, Http1, Script, ScriptedOrigin, WeirProcess};

use super::{Nobody, count, endpoint, endpoints, reaches};
use crate::stage::weir;

const OUT: &str = "weir_cluster_endpoints_out{cluster=\"origin\"}";

/// Weir before endpoints that take turns and are checked every 50 ms.
async fn checked(all: &[SocketAddr], health: &str, keys: &str) -> Result<WeirProcess> {
    let list: Vec<_> = all.iter().map(|address| endpoint(*address)).collect();
    let health = format!("health = {{ interval = \"50ms\", {health} }}");
    let keys = format!("balancer = \"round_robin\"\nretries = 0\npanic_percent = 0\n{health}\n{keys}\n");
    weir(endpoints(&list, &keys)).await
}

async fn origins_of(weir: &WeirProcess, number: usize) -> Result<Vec<String>> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    let mut all = Vec::new();
    for _ in 0..number {
        let told = client.get("/").await?;
        all.push(told.field("x-origin").unwrap_or_default().to_owned());
    }
    Ok(all)
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_is_not_used_until_it_passes_them() -> Result<()> {
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let health = "check = \"http\", path = \"/healthz\", host = \"health.test\"";
    let weir = checked(&[one.address(), other.address()], health, "").await?;
    reaches(&weir, OUT, 0.0).await?;
    one.fail(true);
    reaches(&weir, OUT, 1.0).await?;
    assert_eq!(origins_of(&weir, 6).await?, ["other"; 6]);
    let told = weir.admin_get("/clusters").await?.json()?;
    let health = &told[0]["endpoints"][0]["health"];
    assert_eq!((&health["state"], &health["why"]), (&"unhealthy".into(), &"answered with status 500".into()));
    weir.line_with("an endpoint is unhealthy").await?;
    one.fail(false);
    reaches(&weir, OUT, 0.0).await?;
    weir.line_with("an endpoint is healthy").await?;
    assert_eq!(origins_of(&weir, 6).await?.iter().filter(|origin| *origin == "one").count(), 3);
    assert!(
        count(&weir, "weir_cluster_health_checks_total{cluster=\"origin\",result=\"failed\"}").await? >= 3.0
    );
    // Checks are no exchanges.
    reaches(&weir, "weir_cluster_attempts_total{cluster=\"origin\",result=\"answered\"}", 12.0).await
}

#[tokio::test]
async fn checks_ask_what_config_says() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always("HTTP/1.1 204 No Content\r\n\r\n")).await?;
    let health = "check = \"http\", path = \"/a?b\", host = \"health.test:81\", statuses = [204]";
    let weir = checked(&[origin.address()], health, "").await?;
    let head =
        origin.until("a check", |seen| seen.iter().find_map(|seen| seen.heads.first().cloned())).await?;
    assert_eq!(head.start, "GET /a?b HTTP/1.1");
    assert_eq!(head.all("host").collect::<Vec<_>>(), [b"health.test:81"]);
    reaches(&weir, OUT, 0.0).await
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_fails_a_tcp_check() -> Result<()> {
    let (nobody, good) = (Nobody::new()?, EchoOrigin::start("good").await?);
    let weir = checked(&[nobody.address()?, good.address()], "check = \"tcp\"", "").await?;
    reaches(&weir, OUT, 1.0).await?;
    assert_eq!(origins_of(&weir, 4).await?, ["good"; 4]);
    assert_eq!(good.requests(), 4, "a TCP check asks nothing");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_hangs_fails_its_checks() -> Result<()> {
    let hung = ScriptedOrigin::start(Script::new().hang()).await?;
    let good = EchoOrigin::start("good").await?;
    let weir =
        checked(&[hung.address(), good.address()], "check = \"http\", timeout = \"200ms\"", "").await?;
    reaches(&weir, OUT, 1.0).await
}

#[tokio::test]
async fn new_endpoints_may_have_to_pass_first() -> Result<()> {
    let good = EchoOrigin::start("good").await?;
    let nobody = Nobody::new()?;
    let health = "check = \"http\", initial = \"unhealthy\"";
    let weir = checked(&[nobody.address()?, good.address()], health, "").await?;
    reaches(&weir, OUT, 1.0).await?;
    assert_eq!(origins_of(&weir, 4).await?, ["good"; 4]);
    Ok(())
}

#[tokio::test]
async fn when_too_few_are_well_all_are_used() -> Result<()> {
    let all = [EchoOrigin::start("a").await?, EchoOrigin::start("b").await?, EchoOrigin::start("c").await?];
    let addresses: Vec<_> = all.iter().map(EchoOrigin::address).collect();
    let health = "health = { check = \"http\", path = \"/status/503\", interval = \"50ms\" }";
    let list: Vec<_> = addresses.into_iter().map(endpoint).collect();
    let weir = weir(endpoints(&list, &format!("balancer = \"round_robin\"\n{health}\n"))).await?;
    reaches(&weir, OUT, 3.0).await?;
    let mut told = origins_of(&weir, 6).await?;
    told.sort();
    assert_eq!(told, ["a", "a", "b", "b", "c", "c"]);
    reaches(&weir, "weir_cluster_panics_total{cluster=\"origin\"}", 6.0).await
}

#[tokio::test]
async fn without_checks_nobody_stays_unhealthy() -> Result<()> {
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    one.fail(true);
    let list = [one.address(), other.address()].map(endpoint);
    let health = "health = { check = \"http\", interval = \"50ms\" }";
    let config = |health: &str| endpoints(&list, &format!("balancer = \"round_robin\"\n{health}\n"));
    let weir = weir(config(health)).await?;
    reaches(&weir, OUT, 1.0).await?;
    weir.rewrite_config(&config(""))?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 200);
    reaches(&weir, OUT, 0.0).await
}

/// A gRPC server whose health has this status.
async fn serving(status: u8) -> Result<H2Origin> {
    H2Origin::start(None, move |_, head| {
        let asked = head.uri.path() == "/grpc.health.v1.Health/Check" && head.method == "POST";
        H2Answer::Respond {
            status: if asked { 200 } else { 404 },
            fields: vec![("content-type", "application/grpc".to_owned())],
            body: vec![0, 0, 0, 0, 2, 8, status],
            trailers: vec![("grpc-status", "0".to_owned())],
        }
    })
    .await
}

#[tokio::test]
async fn grpc_servers_are_asked_as_they_want_it() -> Result<()> {
    for (status, out) in [(1u8, 0.0), (2, 1.0)] {
        let origin = serving(status).await?;
        let other = serving(1).await?;
        let health = "check = \"grpc\", service = \"a.B\"";
        let weir = checked(&[origin.address(), other.address()], health, "protocol = \"h2\"").await?;
        let passed = "weir_cluster_health_checks_total{cluster=\"origin\",result=\"passed\"}";
        weir_testkit::eventually("checks", async || (weir.metric(passed).await.ok()?? >= 6.0).then_some(()))
            .await?;
        reaches(&weir, OUT, out).await?;
    }
    Ok(())
}
