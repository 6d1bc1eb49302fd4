//! Weir among workloads: identities, mTLS in both directions, and their renewal.

mod agent;
mod callers;
mod endpoints;
pub(crate) mod example;
mod rotation;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use weir_testkit::{Ca, Launch, Leaf, SvidPlan, WeirProcess, eventually};

use crate::stage::{WEIR, plain};

/// Where the SVID of Weir lies, and a name for clients that know no SPIFFE.
pub(crate) const OWN: &str = "spiffe://td/sa/weir";
pub(crate) const HOST: &str = "weir.test";

/// The identity `own`, from files.
pub(crate) const IDENTITY: &str =
    "[identities.own]\nfiles = { cert = \"svid.pem\", key = \"svid.key\", bundle = \"bundle.pem\" }\n";

/// A configuration whose listener `web` has `listener`, whose cluster has `cluster` as further keys, and the
/// identity `own`.
pub(crate) fn mesh(origin: SocketAddr, listener: &str, cluster: &str) -> String {
    let config = plain(origin, IDENTITY);
    let config = config.replace("[clusters.origin]\n", &format!("[clusters.origin]\n{cluster}\n"));
    config.replace("cluster = \"origin\"\n", &format!("cluster = \"origin\"\n{listener}\n"))
}

/// Weir with this configuration, an SVID of its own, and the bundle of `ca`.
pub(crate) async fn start(config: String, ca: &Ca) -> Result<WeirProcess> {
    let svid = own(ca)?;
    Launch::new(WEIR, config)
        .file("svid.pem", svid.pem())
        .file("svid.key", svid.key_pem())
        .file("bundle.pem", ca.pem())
        .start()
        .await
}

/// An SVID of Weir's.
pub(crate) fn own(ca: &Ca) -> Result<Leaf> {
    ca.svid(&SvidPlan { more: &[HOST], ..SvidPlan::of(OWN) })
}

/// Waits until a series has this value.
pub(crate) async fn counted(weir: &WeirProcess, series: &str, value: f64) -> Result<()> {
    let reached = eventually(series, async || (weir.metric(series).await.ok()?? == value).then_some(()));
    reached.await.with_context(|| format!("{series} never was {value}"))
}
