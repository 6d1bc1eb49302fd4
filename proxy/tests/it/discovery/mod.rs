//! Endpoints that are told from elsewhere: by name servers, by files.

mod file;
mod many;
mod names;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_testkit::{Http1, WeirProcess, eventually};

/// A configuration whose cluster has these keys, and whatever a test adds.
fn config(cluster: &str, more: &str) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[workers]\ncount = 2\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\ncluster = \"origin\"\n\
         [clusters.origin]\nbalancer = \"round_robin\"\n{cluster}\n{more}\n"
    )
}

/// What the admin API shows of the cluster.
async fn shown(weir: &WeirProcess) -> Result<Value> {
    let all = weir.admin_get("/clusters").await?.json()?;
    all.get(0).cloned().context("there is no cluster")
}

/// Waits until the cluster has exactly these endpoints, in this order.
async fn has_endpoints(weir: &WeirProcess, expected: &[String]) -> Result<()> {
    let what = format!("the endpoints {expected:?}");
    let there = eventually(&what, async || {
        let shown = shown(weir).await.ok()?;
        let names: Vec<_> = shown["endpoints"].as_array()?.iter().map(|e| e["address"].clone()).collect();
        (names == expected).then_some(())
    });
    there.await.with_context(|| weir.stderr().join("\n"))
}

/// Waits until a source fails, and answers why.
async fn failure(weir: &WeirProcess) -> Result<String> {
    eventually("a failing source", async || {
        let shown = shown(weir).await.ok()?;
        Some(shown["discovery"]["failing"].get(0)?["reason"].as_str()?.to_owned())
    })
    .await
}

async fn status(weir: &WeirProcess) -> Result<u16> {
    Ok(Http1::fetch(weir.address("web")?, "/").await?.status)
}
