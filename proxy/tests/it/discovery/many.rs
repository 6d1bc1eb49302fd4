//! Many clusters that change at once are one change.

use std::fmt::Write;

use anyhow::Result;
use weir_testkit::{Launch, eventually};

use crate::stage::WEIR;

const CLUSTERS: usize = 300;

#[tokio::test]
async fn clusters_that_change_together_make_few_snapshots() -> Result<()> {
    let mut config = super::config("endpoints = [{ address = \"127.0.0.1:1\" }]", "");
    for number in 0..CLUSTERS {
        _ = write!(config, "[clusters.c{number}.discovery]\nfile = \"c{number}.toml\"\n");
    }
    let empty = |launch: Launch, number| launch.file(&format!("c{number}.toml"), "endpoints = []\n");
    let weir = (0..CLUSTERS).fold(Launch::new(WEIR, config), empty).start().await?;
    for number in 0..CLUSTERS {
        weir.write_file(&format!("c{number}.toml"), "endpoints = [{ address = \"127.0.0.1:1\" }]\n")?;
    }
    eventually("all of them", async || {
        let all = weir.admin_get("/clusters").await.ok()?.json().ok()?;
        let done =
            all.as_array()?.iter().filter(|one| one["endpoints"].as_array().is_some_and(|e| e.len() == 1));
        (done.count() == CLUSTERS + 1).then_some(())
    })
    .await?;
    let swaps = weir.metric("weir_snapshots_total").await?.unwrap_or_default();
    assert!(swaps < CLUSTERS as f64 / 4.0, "{swaps} snapshots for {CLUSTERS} changes");
    Ok(())
}
