//! Weir beside services that know nothing of it: two networks of the test's own, joined by a cable, in which rules of the
//! system lead connections through a Weir of another user. Skipped, with a word, where that cannot be had.

mod changes;
mod circle;
mod namespaces;
mod node;
mod pair;
mod reach;
mod unsecured;
mod versions;

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use weir_testkit::{
    EchoOptions, EchoOrigin, Http1, Launch, Namespace, RawOrigin, Response, Stream, WeirProcess, Wire,
    eventually,
};

use crate::{
    mesh::example::read,
    ops::capture::said,
    stage::{WEIR, is_there, namespace},
};

/// Whom Weir runs as, and the addresses at both ends of the cable.
const USER: u32 = 1337;
const NEAR: &str = "10.77.0.1";
const FAR: &str = "10.77.0.2";

/// Two networks, one for who calls and one for who is called.
struct Cable {
    near: Arc<Namespace>,
    far: Arc<Namespace>,
}

fn cable() -> Result<Option<Cable>> {
    cable_for("nft")
}

/// To be used with this tool.
fn cable_for(tool: &str) -> Result<Option<Cable>> {
    if !is_there(tool) {
        return Ok(None);
    }
    let (Some(near), Some(far)) = (namespace(), namespace()) else { return Ok(None) };
    Namespace::join((&near, NEAR), (&far, FAR))?;
    Ok(Some(Cable { near: Arc::new(near), far: Arc::new(far) }))
}

/// `weir capture install` within a network.
fn capture(namespace: &Namespace, rules: &[&str]) -> Result<()> {
    capture_with("nft", namespace, rules)
}

fn capture_with(tool: &str, namespace: &Namespace, rules: &[&str]) -> Result<()> {
    let install = [&["capture", "install", "--tool", tool], rules].concat();
    said(namespace, WEIR, &install).map(drop)
}

/// Weir within a network, and what it tells there.
struct Sidecar {
    namespace: Arc<Namespace>,
    weir: Arc<WeirProcess>,
}

impl Sidecar {
    async fn start(namespace: &Arc<Namespace>, launch: Launch) -> Result<Self> {
        let weir = namespace.run(async move || launch.user(USER).start().await).await??;
        Ok(Self { namespace: Arc::clone(namespace), weir: Arc::new(weir) })
    }

    /// With a configuration of an example, in which the identity that lies in `folder` has this name.
    async fn of_example(
        namespace: &Arc<Namespace>,
        (example, file): (&str, &str),
        identity: &str,
        folder: &Path,
    ) -> Result<Self> {
        let config = read(example, file)?.replace(&format!("\"{identity}/"), "\"");
        let mut launch = Launch::new(WEIR, config);
        for name in ["svid.pem", "svid.key", "bundle.pem"] {
            let path = folder.join(name);
            launch = launch.file(name, std::fs::read(&path).with_context(|| path.display().to_string())?);
        }
        Self::start(namespace, launch).await
    }

    async fn metric(&self, series: &str) -> Result<f64> {
        let (weir, series) = (Arc::clone(&self.weir), series.to_owned());
        let told = self.namespace.run(async move || weir.metric(&series).await).await??;
        Ok(told.unwrap_or_default())
    }

    /// Waits until a series has this value.
    async fn counted(&self, series: &str, value: f64) -> Result<()> {
        let reached = eventually(series, async || (self.metric(series).await.ok()? == value).then_some(()));
        match reached.await {
            Ok(()) => Ok(()),
            Err(_) => Err(anyhow::anyhow!("{series} is {}, not {value}", self.metric(series).await?)),
        }
    }
}

/// An HTTP service within a network.
async fn service(namespace: &Namespace, name: &str, address: &str) -> Result<EchoOrigin> {
    let options = EchoOptions { name: name.to_owned(), ..EchoOptions::default() };
    let address: SocketAddr = address.parse()?;
    namespace.run(async move || EchoOrigin::start_at(address, options).await).await?
}

/// A service that speaks first, and something else than HTTP.
async fn database(namespace: &Namespace, address: &str) -> Result<RawOrigin> {
    let serve = |mut wire: Wire| async move {
        wire.write(b"220 ready\r\n").await?;
        wire.echo().await
    };
    let address: SocketAddr = address.parse()?;
    namespace.run(async move || RawOrigin::start_at(address, None, serve).await).await?
}

/// All that such a service says to a caller who waits for its word.
async fn query(namespace: &Namespace, address: &str) -> Result<Vec<u8>> {
    let address: SocketAddr = address.parse()?;
    let asked = async move || {
        let mut caller = Wire::new(Stream::connect(address).await?);
        let greeting = caller.exactly(11).await?;
        caller.write(b"select 1").await?;
        anyhow::Ok([greeting, caller.exactly(8).await?].concat())
    };
    namespace.run(asked).await?
}

/// What a service without any idea of a proxy does: it asks an address.
async fn ask(namespace: &Namespace, address: &str, method: &'static str) -> Result<Response> {
    let address: SocketAddr = address.parse()?;
    let asked = async move || Http1::connect(address).await?.request(method, "/users/7", &[], b"").await;
    namespace.run(asked).await?
}

/// Asks, and is not answered.
async fn refused(namespace: &Namespace, address: &str) -> Result<()> {
    let answer = ask(namespace, address, "GET").await;
    ensure!(answer.is_err(), "{address} answers {answer:?}");
    Ok(())
}
