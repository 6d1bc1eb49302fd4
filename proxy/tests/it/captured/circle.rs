//! Rules that do not let the proxy alone: what it sends is led back to it, and goes round once.

use anyhow::{Result, ensure};
use weir_testkit::Launch;

use super::{FAR, Sidecar, ask, cable, capture, service};
use crate::stage::WEIR;

const CONFIG: &str = r#"
[admin]
address = "127.0.0.1:9901"
[workers]
count = 2
[listeners.outbound]
address = "127.0.0.1:15001"
captured = true
cluster = "elsewhere"
[clusters.elsewhere]
destination = "original"
retries = 0
"#;

#[tokio::test]
async fn a_connection_of_the_proxys_own_is_not_passed_on_again() -> Result<()> {
    let Some(cable) = cable()? else { return Ok(()) };
    let far = service(&cable.far, "far", &format!("{FAR}:9000")).await?;
    let weir = Sidecar::start(&cable.near, Launch::new(WEIR, CONFIG)).await?;
    // Of somebody else than Weir's user.
    capture(&cable.near, &["--outbound", "15001", "--user", "1338"])?;
    for round in 1..=3 {
        // With a method that is not repeated.
        let answer = ask(&cable.near, &format!("{FAR}:9000"), "POST").await?;
        ensure!(answer.status >= 500, "{answer:?}");
        let refused = "weir_connections_refused_total{listener=\"outbound\",reason=\"circle\"}";
        weir.counted(refused, f64::from(round)).await?;
        weir.counted("weir_connections_total{listener=\"outbound\"}", f64::from(2 * round)).await?;
    }
    ensure!(far.connections() == 0);
    // Put right, it works at once.
    capture(&cable.near, &["--outbound", "15001", "--user", "1337"])?;
    ensure!(ask(&cable.near, &format!("{FAR}:9000"), "POST").await?.status == 200);
    Ok(())
}
