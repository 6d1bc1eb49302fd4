//! The endpoint's side of the proxy: connections, pools, limits, balancing, timeouts, broken origins.

mod balance;
mod body;
mod broken;
mod deadline;
mod ejection;
mod faults;
mod h2;
mod h2_pool;
mod health;
mod hedge;
mod limits;
mod mirror;
mod priority;
mod retry;
mod retry_policies;
mod reuse;
mod slow_start;
mod timeout;
mod tls;
mod zones;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use weir_testkit::{WeirProcess, eventually};

use crate::stage::{plain, weir};

/// A short answer that says how long it is.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Weir in front of `origin`, with an access log. `keys` are further keys of the cluster.
pub(crate) async fn logging(origin: SocketAddr, keys: &str) -> Result<WeirProcess> {
    weir(plain(origin, &format!("{keys}\n[access_log]\nto = \"stdout\"\n"))).await
}

/// A configuration like [`plain`]'s whose cluster has these endpoints, as TOML.
pub(crate) fn endpoints(endpoints: &[String], keys: &str) -> String {
    let unused = SocketAddr::from(([127, 0, 0, 1], 1));
    let list = endpoints.join(", ");
    plain(unused, keys).replace(&format!("[{{ address = \"{unused}\" }}]"), &format!("[{list}]"))
}

/// An endpoint without label or weight.
pub(crate) fn endpoint(address: SocketAddr) -> String {
    format!("{{ address = \"{address}\" }}")
}

/// An address where nobody listens, kept from everybody else while this lives.
pub(crate) struct Nobody(tokio::net::TcpSocket);

impl Nobody {
    pub(crate) fn new() -> Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self(socket))
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }
}

/// The value of a series, 0 if it is not there.
pub(crate) async fn count(weir: &WeirProcess, series: &str) -> Result<f64> {
    Ok(weir.metric(series).await?.unwrap_or(0.0))
}

/// Waits until so many exchanges were answered by the proxy itself, or broken off, for this reason. An exchange
/// is counted when it is over, which its caller may know before.
pub(crate) async fn reasons(weir: &WeirProcess, reason: &str, number: f64) -> Result<()> {
    reaches(weir, &format!("weir_local_replies_total{{reason=\"{reason}\"}}"), number).await
}

/// Waits until nothing is under way: no exchange, none that waits.
pub(crate) async fn settled(weir: &WeirProcess) -> Result<()> {
    const GAUGES: [&str; 3] = [
        "weir_requests_active{listener=\"web\"}",
        "weir_cluster_requests_active{cluster=\"origin\"}",
        "weir_cluster_pending{cluster=\"origin\"}",
    ];
    for gauge in GAUGES {
        reaches(weir, gauge, 0.0).await?;
    }
    Ok(())
}

/// Waits until a series has this value.
pub(crate) async fn reaches(weir: &WeirProcess, series: &str, value: f64) -> Result<()> {
    let reached = eventually(series, async || match weir.metric(series).await {
        Ok(now) => (now == Some(value)).then_some(()),
        Err(_) => None,
    });
    let reached = reached.await;
    reached.with_context(|| format!("{series} never was {value}"))
}

/// Waits until the access log has `lines` lines, and gives them. One more is an error.
pub(crate) async fn logged(weir: &WeirProcess, lines: usize) -> Result<Vec<serde_json::Value>> {
    let read = || -> Vec<serde_json::Value> {
        weir.stdout().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let all = eventually("the access log", async || Some(read()).filter(|all| all.len() >= lines)).await?;
    ensure!(all.len() == lines, "{} lines in place of {lines}: {all:?}", all.len());
    Ok(all)
}
