//! What captured connections reach, and what they do not: ports of loopback that nobody named, addresses of one link.

use anyhow::{Result, ensure};
use socket2::{Domain, Socket, Type};
use weir_testkit::Launch;

use super::{FAR, Sidecar, ask, cable, capture, service};
use crate::stage::WEIR;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:9901\"\n[workers]\ncount = 1\n";

/// Inbound, where a policy sends everything to the service.
const INBOUND: &str = r#"
[listeners.inbound]
address = "[::]:15006"
captured = true
destinations = { ":8080" = "app" }
cluster = "elsewhere"
chain = ["routes"]
[filters.routes]
wasm = "builtin:router"
[[filters.routes.config.routes]]
name = "all"
cluster = "app"
[clusters.app]
destination = "loopback"
[clusters.elsewhere]
destination = "original"
"#;

#[tokio::test]
async fn a_policy_opens_no_port_of_loopback() -> Result<()> {
    let Some(cable) = cable()? else { return Ok(()) };
    let app = service(&cable.far, "app", "127.0.0.1:8080").await?;
    let _far = Sidecar::start(&cable.far, Launch::new(WEIR, format!("{ADMIN}{INBOUND}"))).await?;
    capture(&cable.far, &["--inbound", "15006", "--user", "1337"])?;
    ensure!(ask(&cable.near, &format!("{FAR}:8080"), "GET").await?.status == 200);
    // That is the proxy's own admin API, on loopback.
    ensure!(ask(&cable.near, &format!("{FAR}:9901"), "GET").await?.status == 503);
    ensure!(app.requests() == 1);
    Ok(())
}

#[tokio::test]
async fn link_local_addresses_keep_their_zone() -> Result<()> {
    const TO_DESTINATION: &str = "[listeners.inbound]\naddress = \"[::]:15006\"\ncaptured = true\n\
        destinations = { \":8080\" = \"app\" }\n[clusters.app]\ndestination = \"original\"\n";
    let Some(cable) = cable()? else { return Ok(()) };
    for (namespace, address, link) in
        [(&cable.near, "fe80::77:1/64", "to-other"), (&cable.far, "fe80::77:2/64", "to-one")]
    {
        namespace.ip(&["-6", "address", "add", address, "dev", link, "nodad"])?;
    }
    let _app = service(&cable.far, "app", "[::]:8080").await?;
    let far = Sidecar::start(&cable.far, Launch::new(WEIR, format!("{ADMIN}{TO_DESTINATION}"))).await?;
    capture(&cable.far, &["--inbound", "15006", "--user", "1337"])?;
    // They cannot be captured on the way out, and are let alone.
    capture(&cable.near, &["--outbound", "15001", "--user", "1337"])?;
    let zone = cable.near.within(|| {
        let any = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        anyhow::Ok(rustix::net::netdevice::name_to_index(&any, "to-other")?)
    })??;
    ensure!(ask(&cable.near, &format!("[fe80::77:2%{zone}]:8080"), "GET").await?.status == 200);
    far.counted("weir_connections_total{listener=\"inbound\"}", 1.0).await
}
