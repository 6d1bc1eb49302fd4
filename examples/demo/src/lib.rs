//! The demo: Weir as it is meant to be used, in front of two versions of a small service.
//!
//! It is a package of its own so that `cargo xtask demo` and Weir's integration tests play the same steps:
//! [`play`] checks each and stops at the first that fails, [`tour`] says what to try by hand.

mod service;
mod stage;
mod steps;
mod token;
mod tour;

use std::path::Path;

use anyhow::{Context, Result};

pub use stage::Stage;
pub use tour::tour;

/// Plays every step on a new stage, telling each to `report` when it is done.
///
/// # Errors
/// The first step that did not do what it should, by name.
pub async fn play(weir: &Path, mut report: impl FnMut(&str)) -> Result<()> {
    let mut stage = Stage::set(weir).await.context("setting the stage")?;
    report("ready: two versions of a service, and Weir with four policies in front");
    for (name, step) in steps::ALL {
        let told = step(&mut stage).await.with_context(|| format!("{name} (weir said:\n{})", stage.log()))?;
        report(&format!("{name}: {told}"));
    }
    stage.leave().await
}
