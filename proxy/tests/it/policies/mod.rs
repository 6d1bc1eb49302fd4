//! Policies in the real proxy: every hook, every fault, data, swaps, and the filters that come with Weir.

mod bodies;
mod connections;
mod data;
mod faults;
mod hooks;
mod identity;
mod memory;
mod rollout;
mod routes;
mod swap;
mod token;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_testkit::{Http1, Response, WeirProcess, build_guest, eventually};

use crate::stage::plain;

/// A configuration with this chain at the listener `web`, and what else a test adds.
pub(crate) fn chain(origin: SocketAddr, filters: &[&str], more: &str) -> String {
    let chain = format!("cluster = \"origin\"\nchain = {filters:?}\n");
    plain(origin, more).replacen("cluster = \"origin\"\n", &chain, 1)
}

/// The filter `name`, a puppet with the tag `name`; `config` is further keys of its `config`, `more` of the
/// filter itself.
pub(crate) fn puppet(name: &str, config: &str, more: &str) -> Result<String> {
    let wasm = build_guest("weir-guest-puppet")?;
    Ok(format!(
        "[filters.{name}]\nwasm = {wasm:?}\n{more}\n[filters.{name}.config]\ntag = \"{name}\"\n{config}\n\n"
    ))
}

/// What `GET /filters` says of one filter.
pub(crate) async fn told(weir: &WeirProcess, name: &str) -> Result<Value> {
    let all = weir.admin_get("/filters").await?.json()?;
    let all = all.as_array().context("a list")?;
    all.iter().find(|filter| filter["name"] == name).cloned().with_context(|| format!("{name} in {all:?}"))
}

/// The number of a hook's calls, or of a kind of fault, that `GET /filters` shows; 0 if it is not shown.
pub(crate) fn number(told: &Value, place: &str) -> u64 {
    told.pointer(place).and_then(Value::as_u64).unwrap_or(0)
}

/// A field of the request as the echo origin received it.
pub(crate) fn received(response: &Response, name: &str) -> Result<Option<String>> {
    let report = response.json()?;
    let fields = report["fields"].as_array().with_context(|| format!("no report: {report}"))?;
    let found = fields.iter().find(|field| field[0] == name);
    Ok(found.and_then(|field| field[1].as_str()).map(str::to_owned))
}

/// Connections to each worker of a proxy with two: new ones go where there are fewest.
pub(crate) async fn both_workers(weir: &WeirProcess) -> Result<[Http1; 2]> {
    let address = weir.address("web")?;
    let mut one = Http1::connect(address).await?;
    one.get("/").await?;
    let mut other = Http1::connect(address).await?;
    other.get("/").await?;
    Ok([one, other])
}

/// Waits until a metric has this value: an exchange is counted when it is over, after its response.
pub(crate) async fn until_counted(weir: &WeirProcess, series: &str, value: f64) -> Result<()> {
    eventually(series, async || (weir.metric(series).await.ok()? == Some(value)).then_some(())).await
}

/// Waits until `GET /filters` shows what is wished of a filter.
pub(crate) async fn until_told(
    weir: &WeirProcess,
    name: &str,
    what: &str,
    wish: impl Fn(&Value) -> bool,
) -> Result<Value> {
    eventually(what, async || told(weir, name).await.ok().filter(|told| wish(told)))
        .await
        .with_context(|| what.to_owned())
}
