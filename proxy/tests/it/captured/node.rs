//! `examples/node-proxy`: one configuration for all services of a node, on every node.

use anyhow::{Result, ensure};

use super::{FAR, Sidecar, ask, cable, capture, database, query, service};
use crate::mesh::example::certificates;

const EXAMPLE: &str = "node-proxy";

#[tokio::test]
async fn one_proxy_carries_http_and_tcp_of_many_services_between_nodes() -> Result<()> {
    let Some(cable) = cable()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    certificates(EXAMPLE, folder.path()).await?;
    let users = service(&cable.far, "users", "127.0.0.1:8080").await?;
    let db = database(&cable.far, "127.0.0.1:5432").await?;

    // Services have addresses that no machine has; packets to them need only get as far as to be captured.
    cable.near.ip(&["route", "add", "default", "via", FAR])?;
    let mut nodes = Vec::new();
    for (node, own) in [(&cable.near, "a"), (&cable.far, "b")] {
        capture(node, &["--outbound", "15001", "--inbound", "15006", "--user", "1337"])?;
        let own = folder.path().join(own);
        nodes.push(Sidecar::of_example(node, (EXAMPLE, "weir.toml"), "node", &own).await?);
    }
    let answer = ask(&cable.near, "10.96.0.10:80", "GET").await?;
    ensure!((answer.status, users.requests()) == (200, 1), "{answer:?}");
    let told = query(&cable.near, "10.96.0.20:5432").await?;
    ensure!(told == b"220 ready\r\nselect 1" && db.connections() == 1, "{told:?}");
    let tls = "weir_tls_handshakes_total{listener=\"inbound\",result=\"full\"}";
    ensure!(nodes[1].metric(tls).await? + nodes[1].metric(&tls.replace("full", "resumed")).await? >= 2.0);
    nodes[0].counted("weir_cluster_requests_total{cluster=\"users\",code_class=\"2xx\"}", 1.0).await
}
