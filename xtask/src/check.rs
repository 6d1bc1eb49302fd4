//! `cargo xtask check`: what a change must pass beside the tests.

use anyhow::Result;

use crate::{
    cargo::{cargo, succeed},
    duplicates, wasm_target,
};

/// Formatting, lints, duplicate dependencies.
pub(crate) fn run() -> Result<()> {
    wasm_target::ensure()?;
    succeed(cargo(&["fmt", "--all", "--check"]))?;
    succeed(cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    duplicates::check()?;
    println!("format, lints and dependencies are in order");
    Ok(())
}
