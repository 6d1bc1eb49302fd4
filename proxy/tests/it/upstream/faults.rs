//! One of three endpoints killed, hung, slowed, resetting - under steady load. Callers do not notice, and what is tried
//! again stays within its budget.

use std::time::Duration;

use anyhow::Result;
use weir_testkit::{
    EchoOrigin, Faults, FaultyPipe, Load, LoadPlan, LoadReport, Script, ScriptedOrigin, WeirProcess,
};

use super::{OK, count, endpoint, endpoints, reaches};
use crate::stage::weir;

/// Requests before and after the fault.
const BEFORE: u64 = 500;
const AFTER: u64 = 2_500;

/// Three endpoints, the first behind a pipe that can be made to fail, under load.
struct Stage {
    weir: WeirProcess,
    first: FaultyPipe,
    load: Load,
    _origins: Vec<EchoOrigin>,
}

impl Stage {
    async fn new(keys: &str) -> Result<Self> {
        let mut origins = Vec::new();
        for index in 0..3 {
            origins.push(EchoOrigin::start(&format!("o{index}")).await?);
        }
        let first = FaultyPipe::start(origins[0].address()).await?;
        let list = [first.address(), origins[1].address(), origins[2].address()].map(endpoint);
        let weir = weir(endpoints(&list, keys)).await?;
        let pause = Duration::from_millis(4);
        let load = LoadPlan::new(weir.address("web")?, "/").connections(16).between(pause).start();
        load.passed(BEFORE).await?;
        Ok(Self { weir, first, load, _origins: origins })
    }

    /// The end of the load, after the fault.
    async fn end(self) -> Result<(LoadReport, WeirProcess)> {
        self.load.passed(AFTER).await?;
        Ok((self.load.stop().await?, self.weir))
    }
}

/// At least 99.99 % went well: of so few, all. And there were no more retries than a fifth of the requests and ten a
/// second beside.
async fn unnoticed(report: &LoadReport, weir: &WeirProcess) -> Result<()> {
    report.all_ok()?;
    let retries = count(weir, "weir_cluster_retries_total{cluster=\"origin\"}").await?;
    let requests = (report.ok + report.failed) as f64;
    assert!(retries <= requests * 0.2 + 100.0, "{retries} retries of {requests}");
    assert_eq!(count(weir, "weir_cluster_retried_total{cluster=\"origin\",outcome=\"failed\"}").await?, 0.0);
    Ok(())
}

#[tokio::test]
async fn one_of_three_is_killed() -> Result<()> {
    let stage = Stage::new("").await?;
    stage.first.set(Faults { refusing: true, ..Faults::default() });
    stage.first.reset();
    let (report, weir) = stage.end().await?;
    unnoticed(&report, &weir).await
}

#[tokio::test]
async fn one_of_three_hangs() -> Result<()> {
    let stage = Stage::new("retry = { per_try_timeout = \"300ms\" }").await?;
    stage.first.set(Faults { stalled: true, ..Faults::default() });
    let (report, weir) = stage.end().await?;
    unnoticed(&report, &weir).await
}

#[tokio::test]
async fn one_of_three_is_slowed() -> Result<()> {
    let stage = Stage::new("").await?;
    stage.first.set(Faults { delay: Duration::from_millis(200), ..Faults::default() });
    let (report, weir) = stage.end().await?;
    unnoticed(&report, &weir).await?;
    // Slow is not broken.
    reaches(&weir, "weir_cluster_endpoints_out{cluster=\"origin\"}", 0.0).await
}

#[tokio::test]
async fn one_of_three_answers_503() -> Result<()> {
    let bad = ScriptedOrigin::start(Script::always("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")).await?;
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let list = [bad.address(), one.address(), other.address()].map(endpoint);
    let weir = weir(endpoints(&list, "balancer = \"round_robin\"")).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").connections(8).start();
    load.passed(AFTER).await?;
    unnoticed(&load.stop().await?, &weir).await?;
    reaches(&weir, "weir_cluster_endpoints_out{cluster=\"origin\"}", 1.0).await
}

#[tokio::test]
async fn one_of_three_resets_in_its_bodies_and_that_shows_until_it_is_out() -> Result<()> {
    let cut = OK.replace("Content-Length: 2", "Content-Length: 20");
    let bad = ScriptedOrigin::start(Script::new().head().send(cut).reset()).await?;
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let list = [bad.address(), one.address(), other.address()].map(endpoint);
    let weir = weir(endpoints(&list, "balancer = \"round_robin\"")).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").connections(4).start();
    load.passed(AFTER).await?;
    let report = load.stop().await?;
    // Each was broken off, never looked whole, and was not sent twice; then there were no more.
    assert_eq!(report.failed, bad.requests() as u64, "{report}");
    assert!((5..=5 + 4).contains(&report.failed), "{report}");
    reaches(&weir, "weir_cluster_retries_total{cluster=\"origin\"}", 0.0).await
}
