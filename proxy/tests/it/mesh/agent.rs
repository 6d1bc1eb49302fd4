//! SVIDs from an agent (SPIFFE Workload API): the first, each next, an agent that is away, one that refuses.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Result;
use serde_json::Value;
use weir_testkit::{Agent, Ca, EchoOrigin, Http1, Launch, LoadPlan, SvidPlan, WeirProcess, eventually};

use super::{HOST, OWN, counted, mesh, own};
use crate::stage::WEIR;

const WEB: &str = "spiffe://td/sa/web";
const SVIDS: &str = "weir_identity_svids_total{identity=\"own\"}";

async fn start(origin: SocketAddr, socket: &Path, keys: &str) -> Result<WeirProcess> {
    let config = mesh(origin, "tls = { identity = \"own\" }", "");
    let api = format!("[identities.own]\nworkload_api = \"unix:{}\"\n{keys}\n", socket.display());
    Launch::new(WEIR, config.replace(super::IDENTITY, &api)).start().await
}

async fn status(weir: &WeirProcess, ca: &Ca) -> Result<u16> {
    let tls = ca.client(&["http/1.1"], Some(&ca.svid(&SvidPlan::of(WEB))?))?;
    Ok(Http1::connect_tls(weir.address("web")?, tls, HOST).await?.get("/").await?.status)
}

async fn told(weir: &WeirProcess) -> Result<Value> {
    Ok(weir.admin_get("/identities").await?.json()?[0].clone())
}

#[tokio::test]
async fn the_agents_svids_are_shown_as_they_come() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let agent = Agent::start(&folder.path().join("agent.sock"))?;
    agent.push(&[(OWN, &own(&ca)?)], &ca);
    let weir = start(origin.address(), agent.socket(), "").await?;
    // Whoever comes before the first SVID waits for it.
    assert_eq!(status(&weir, &ca).await?, 200);
    counted(&weir, SVIDS, 1.0).await?;
    let identity = told(&weir).await?;
    assert_eq!((&identity["id"], &identity["trust_domains"]), (&OWN.into(), &serde_json::json!(["td"])));
    assert!(identity["expires_in_seconds"].as_i64().is_some_and(|left| left > 3000), "{identity}");
    assert!(identity["trouble"].is_null(), "{identity}");

    let tls = ca.client(&["http/1.1"], Some(&ca.svid(&SvidPlan::of(WEB))?))?;
    let mut kept = Http1::connect_tls(weir.address("web")?, tls, HOST).await?;
    for times in 2..=4 {
        agent.push(&[(OWN, &own(&ca)?)], &ca);
        counted(&weir, SVIDS, f64::from(times)).await?;
        assert_eq!(status(&weir, &ca).await?, 200);
        assert_eq!(kept.get("/").await?.status, 200);
    }
    // Another authority: at once, without a reload.
    let other = Ca::new()?;
    agent.push(&[(OWN, &own(&other)?)], &other);
    counted(&weir, SVIDS, 5.0).await?;
    assert_eq!(status(&weir, &other).await?, 200);
    assert!(status(&weir, &ca).await.is_err());
    assert_eq!(agent.calls(), 1, "one call is enough for all");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_goes_away_leaves_its_last_svid_in_force() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let socket = folder.path().join("agent.sock");
    let agent = Agent::start(&socket)?;
    agent.push(&[(OWN, &own(&ca)?)], &ca);
    let weir = start(origin.address(), &socket, "").await?;
    assert_eq!(status(&weir, &ca).await?, 200);
    drop(agent);
    eventually("the trouble being told", async || {
        told(&weir).await.ok()?["trouble"].as_str().map(str::to_owned)
    })
    .await?;
    assert_eq!(status(&weir, &ca).await?, 200);

    let back = Agent::start(&socket)?;
    back.push(&[(OWN, &own(&ca)?)], &ca);
    counted(&weir, SVIDS, 2.0).await?;
    assert_eq!(status(&weir, &ca).await?, 200);
    assert!(told(&weir).await?["trouble"].is_null());
    Ok(())
}

#[tokio::test]
async fn without_an_svid_the_proxy_runs_and_refuses_with_a_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let agent = Agent::start(&folder.path().join("agent.sock"))?;
    let weir = start(origin.address(), agent.socket(), "").await?;
    assert_eq!(weir.admin_get("/ready").await?.status, 200);
    let trouble = eventually("the trouble being told", async || {
        told(&weir).await.ok()?["trouble"].as_str().map(str::to_owned)
    });
    let trouble = trouble.await?;
    assert!(trouble.contains("permission denied") && trouble.contains("no identity issued"), "{trouble}");
    assert!(status(&weir, &ca).await.is_err());
    counted(&weir, "weir_tls_refusals_total{listener=\"web\",reason=\"no_identity\"}", 1.0).await?;

    // Registered at last: the next call brings it.
    agent.push(&[(OWN, &own(&ca)?)], &ca);
    counted(&weir, SVIDS, 1.0).await?;
    assert_eq!(status(&weir, &ca).await?, 200);
    Ok(())
}

#[tokio::test]
async fn of_several_svids_the_one_that_config_names_is_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let agent = Agent::start(&folder.path().join("agent.sock"))?;
    let other = ca.svid(&SvidPlan::of("spiffe://td/sa/other"))?;
    agent.push(&[("spiffe://td/sa/other", &other), (OWN, &own(&ca)?)], &ca);
    let weir = start(origin.address(), agent.socket(), &format!("id = \"{OWN}\"")).await?;
    counted(&weir, SVIDS, 1.0).await?;
    assert_eq!(told(&weir).await?["id"], OWN);
    // What is not ours, or not what it says it is, changes nothing.
    agent.push(&[("spiffe://td/sa/other", &other)], &ca);
    eventually("the trouble being told", async || told(&weir).await.ok()?["trouble"].as_str().map(drop))
        .await?;
    agent.push(&[(OWN, &other)], &ca);
    eventually("the wrong name being told", async || {
        told(&weir).await.ok()?["trouble"].as_str().filter(|told| told.contains("as that of")).map(drop)
    })
    .await?;
    assert_eq!(told(&weir).await?["id"], OWN);
    assert_eq!(status(&weir, &ca).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_reload_moves_an_identity_from_files_to_an_agent_under_load() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("origin").await?;
    let agent = Agent::start(&folder.path().join("agent.sock"))?;
    agent.push(&[(OWN, &own(&ca)?)], &ca);
    let far_config = mesh(origin.address(), "tls = { identity = \"own\" }\nlimits = { requests = 5 }", "");
    let far = super::start(far_config.clone(), &ca).await?;
    let cluster = format!("tls = {{ identity = \"own\", expect = [\"{OWN}\"] }}\nprotocol = \"h1\"");
    let near = super::start(mesh(far.address("web")?, "", &cluster), &ca).await?;
    let load = LoadPlan::new(near.address("web")?, "/").between(Duration::from_millis(2)).start();
    load.passed(20).await?;
    let api = format!("[identities.own]\nworkload_api = \"unix:{}\"\n", agent.socket().display());
    far.rewrite_config(&far_config.replace(super::IDENTITY, &api))?;
    counted(&far, SVIDS, 2.0).await?;
    load.passed(50).await?;
    load.stop().await?.all_ok()?;
    assert_eq!(told(&far).await?["source"], format!("unix:{}", agent.socket().display()));
    Ok(())
}
