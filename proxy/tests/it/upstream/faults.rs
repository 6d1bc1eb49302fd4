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

/// What breaks off in the middle of a body, however its end would have been told.
const CUT: [&str; 3] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "HTTP/1.1 200 OK\r\n\r\nok",
];

#[tokio::test]
async fn of_a_body_that_breaks_off_nobody_is_told_that_it_is_whole() -> Result<()> {
    let bad =
        ScriptedOrigin::start_with(None, |number| Script::new().head().send(CUT[number % 3]).reset()).await?;
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let list = [bad.address(), one.address(), other.address()].map(endpoint);
    let weir =
        weir(endpoints(&list, "balancer = \"round_robin\"\nejection = { consecutive_failures = 0 }")).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").connections(4).start();
    load.passed(900).await?;
    let report = load.stop().await?;
    assert_eq!(report.failed, bad.requests() as u64, "{report}");
    assert!(report.failed >= 250, "{report}");
    reaches(&weir, "weir_cluster_retries_total{cluster=\"origin\"}", 0.0).await
}

#[tokio::test]
async fn of_ten_thousand_one_is_lost_to_resets_in_bodies_if_the_first_is_enough_to_eject() -> Result<()> {
    let bad = ScriptedOrigin::start(Script::new().head().send(CUT[0]).reset()).await?;
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let list = [bad.address(), one.address(), other.address()].map(endpoint);
    let keys = "balancer = \"round_robin\"\nejection = { consecutive_failures = 1, time = \"1h\", most_time = \"1h\" }";
    let weir = weir(endpoints(&list, keys)).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").connections(1).start();
    for _ in 0..5 {
        load.passed(2_000).await?;
    }
    let report = load.stop().await?;
    assert!(report.ok >= 9_999 && report.failed == 1, "{report}");
    Ok(())
}

#[tokio::test]
async fn one_of_three_resets_before_it_answers() -> Result<()> {
    let bad = ScriptedOrigin::start(Script::new().head().reset()).await?;
    let (one, other) = (EchoOrigin::start("one").await?, EchoOrigin::start("other").await?);
    let list = [bad.address(), one.address(), other.address()].map(endpoint);
    let weir = weir(endpoints(&list, "balancer = \"round_robin\"")).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").connections(8).start();
    load.passed(AFTER).await?;
    unnoticed(&load.stop().await?, &weir).await?;
    reaches(&weir, "weir_cluster_endpoints_out{cluster=\"origin\"}", 1.0).await
}

#[tokio::test]
async fn when_all_fail_there_is_a_fifth_more_load_and_no_more() -> Result<()> {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(ScriptedOrigin::start(Script::always(busy)).await?);
    }
    let list: Vec<_> = all.iter().map(|origin| endpoint(origin.address())).collect();
    let keys = "retries = 3\nretry = { budget_per_second = 0, backoff = \"1ms\" }\nejection = { consecutive_failures = 0 }";
    let weir = weir(endpoints(&list, keys)).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").connections(8).start();
    load.passed(AFTER).await?;
    let report = load.stop().await?;
    assert_eq!(report.ok, 0, "{report}");
    let retries = count(&weir, "weir_cluster_retries_total{cluster=\"origin\"}").await?;
    let (asked, made) =
        (report.failed as f64, all.iter().map(ScriptedOrigin::requests).sum::<usize>() as f64);
    assert!(retries > 0.0 && retries <= asked * 0.2 + 2.0, "{retries} retries of {asked}");
    assert_eq!(made, asked + retries);
    Ok(())
}
