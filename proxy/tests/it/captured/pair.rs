//! `examples/sidecar-pair`: services that speak plain HTTP, and mTLS on the cable between them.

use anyhow::{Result, ensure};

use super::{FAR, Sidecar, ask, cable, capture, refused, service};
use crate::mesh::example::certificates;

const EXAMPLE: &str = "sidecar-pair";

#[tokio::test]
async fn services_that_know_nothing_speak_mtls_through_their_sidecars() -> Result<()> {
    let Some(cable) = cable()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    certificates(EXAMPLE, folder.path()).await?;
    // On loopback alone: nobody gets there but through the sidecar.
    let users = service(&cable.far, "users", "127.0.0.1:8080").await?;
    let probed = service(&cable.far, "probed", &format!("{FAR}:9000")).await?;
    let other = service(&cable.far, "other", &format!("{FAR}:8081")).await?;
    capture(&cable.far, &["--inbound", "15006", "--user", "1337", "--skip-inbound-ports", "9000"])?;
    let inbound =
        Sidecar::of_example(&cable.far, (EXAMPLE, "users.toml"), "users", &folder.path().join("users"))
            .await?;

    // A caller without a sidecar is nobody.
    refused(&cable.near, &format!("{FAR}:8080")).await?;
    inbound.counted("weir_tls_refusals_total{listener=\"inbound\",reason=\"plain_text\"}", 1.0).await?;

    let outbound =
        Sidecar::of_example(&cable.near, (EXAMPLE, "web.toml"), "web", &folder.path().join("web")).await?;
    capture(&cable.near, &["--outbound", "15001", "--user", "1337"])?;
    let answer = ask(&cable.near, &format!("{FAR}:8080"), "GET").await?;
    ensure!((answer.status, answer.field("x-origin")) == (200, Some("users")), "{answer:?}");
    ensure!(ask(&cable.near, &format!("{FAR}:8080"), "DELETE").await?.status == 403);
    ensure!(users.requests() == 1);
    // It was let in for who it is, which only TLS can tell.
    inbound.counted("weir_filter_allowed_by_web_reads_total{filter=\"access\"}", 1.0).await?;
    ensure!(inbound.metric("weir_tls_handshakes_total{listener=\"inbound\",result=\"full\"}").await? >= 1.0);
    outbound.counted("weir_cluster_requests_total{cluster=\"mesh\",code_class=\"2xx\"}", 1.0).await?;

    // Ports that are not captured are as they were; to the sidecar before, they are places like any other.
    let answer = ask(&cable.near, &format!("{FAR}:9000"), "GET").await?;
    ensure!((answer.status, probed.requests()) == (200, 1), "{answer:?}");
    outbound.counted("weir_cluster_requests_total{cluster=\"elsewhere\",code_class=\"2xx\"}", 1.0).await?;

    // What nobody configured is not reached, whoever asks.
    ensure!(ask(&cable.near, &format!("{FAR}:8081"), "POST").await?.status >= 500);
    inbound
        .counted("weir_connections_refused_total{listener=\"inbound\",reason=\"unknown_destination\"}", 1.0)
        .await?;
    ensure!(other.connections() == 0);

    // Nor is anything reached by calling the sidecars themselves.
    ensure!(ask(&cable.near, &format!("{FAR}:15006"), "POST").await?.status >= 500);
    inbound
        .counted("weir_connections_refused_total{listener=\"inbound\",reason=\"not_captured\"}", 1.0)
        .await?;
    refused(&cable.near, "127.0.0.1:15001").await?;
    outbound
        .counted("weir_connections_refused_total{listener=\"outbound\",reason=\"not_captured\"}", 1.0)
        .await
}
