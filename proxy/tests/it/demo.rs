//! What `cargo xtask demo --once` plays, played.

use anyhow::Result;

use crate::stage::WEIR;

#[tokio::test]
async fn the_demo_plays_every_step() -> Result<()> {
    let mut told = Vec::new();
    weir_demo::play(WEIR.as_ref(), |line| told.push(line.to_owned())).await?;
    assert!(told.len() >= 7, "{told:?}");
    Ok(())
}
