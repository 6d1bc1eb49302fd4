//! Both families of addresses, and what a proxy passes on without looking into it.

use anyhow::{Result, ensure};
use weir_testkit::Launch;

use super::{Sidecar, ask, cable_for, capture_with, database, query, service};
use crate::stage::WEIR;

const CONFIG: &str = r#"
[admin]
address = "127.0.0.1:9901"
[workers]
count = 1
[listeners.outbound]
address = "[::]:15001"
protocol = "detect"
captured = true
cluster = "elsewhere"
destinations = { "[fd77::]/16:7000" = "fixed", "10.0.0.0/8:7000" = "fixed" }
[listeners.inbound]
address = "[::]:15006"
protocol = "detect"
captured = true
destinations = { ":8080" = "app", ":5432" = "app", ":9100" = "elsewhere" }
[clusters.elsewhere]
destination = "original"
[clusters.app]
destination = "loopback"
[clusters.fixed]
endpoints = [{ address = "127.0.0.1:7001" }]
"#;

#[tokio::test]
async fn connections_of_both_families_go_on_to_where_they_were_going() -> Result<()> {
    go_on("nft").await
}

#[tokio::test]
async fn rules_of_iptables_tell_where_connections_were_going_just_as_well() -> Result<()> {
    go_on("iptables").await
}

async fn go_on(tool: &str) -> Result<()> {
    let Some(cable) = cable_for(tool)? else { return Ok(()) };
    // No time is lost on finding out whether somebody else has the address.
    cable.near.ip(&["-6", "address", "add", "fd77::1/64", "dev", "to-other", "nodad"])?;
    cable.far.ip(&["-6", "address", "add", "fd77::2/64", "dev", "to-one", "nodad"])?;
    let mut services = Vec::new();
    for host in ["127.0.0.1", "::1"] {
        let http = std::net::SocketAddr::new(host.parse()?, 8080).to_string();
        let raw = std::net::SocketAddr::new(host.parse()?, 5432).to_string();
        let http = service(&cable.far, host, &http).await?;
        let raw = database(&cable.far, &raw).await?;
        services.push((http, raw));
    }
    let fixed = service(&cable.near, "fixed", "127.0.0.1:7001").await?;
    capture_with(tool, &cable.near, &["--outbound", "15001", "--user", "1337"])?;
    capture_with(tool, &cable.far, &["--inbound", "15006", "--user", "1337"])?;
    let near = Sidecar::start(&cable.near, Launch::new(WEIR, CONFIG)).await?;
    let far = Sidecar::start(&cable.far, Launch::new(WEIR, CONFIG)).await?;

    for (host, (http, raw)) in ["10.77.0.2", "[fd77::2]"].into_iter().zip(&services) {
        for _ in 0..3 {
            ensure!(ask(&cable.near, &format!("{host}:8080"), "GET").await?.status == 200, "{host}");
        }
        ensure!(http.requests() == 3, "{host}: not to the service of its family");
        ensure!(query(&cable.near, &format!("{host}:5432")).await? == b"220 ready\r\nselect 1", "{host}");
        ensure!(raw.connections() == 1, "{host}");
        // What config knows goes where config says.
        let answer = ask(&cable.near, &format!("{host}:7000"), "GET").await?;
        ensure!(answer.field("x-origin") == Some("fixed"), "{answer:?}");
    }
    ensure!(fixed.requests() == 2);
    // The three requests of each family share a connection from proxy to proxy, and TCP has its own.
    far.counted("weir_connections_total{listener=\"inbound\"}", 4.0).await?;
    near.counted("weir_cluster_connections_total{cluster=\"elsewhere\"}", 4.0).await?;
    let clusters = near.namespace.run({
        let weir = std::sync::Arc::clone(&near.weir);
        async move || anyhow::Ok(weir.admin_get("/clusters").await?.text())
    });
    let clusters = clusters.await??;
    ensure!(clusters.contains("\"destination\": \"original\""), "{clusters}");

    // To the address that was called: what goes there comes from here, and is not captured again.
    let exposed = service(&cable.far, "exposed", "10.77.0.2:9100").await?;
    ensure!(ask(&cable.near, "10.77.0.2:9100", "POST").await?.status == 200);
    ensure!(exposed.requests() == 1);
    Ok(())
}
