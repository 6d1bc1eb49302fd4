//! Filters built for a test, as their authors build them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds `package` of this workspace for WebAssembly and gives the path of the file. A second call finds it
/// built; cargo's own lock orders concurrent ones.
pub fn build_guest(package: &str) -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).context("the workspace")?;
    // Apart from the folder of the build that runs the tests, whose lock may be held by another cargo.
    let target = workspace.join("target").join("guests");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--profile", "filter", "--target", TARGET, "--package", package])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(workspace)
        // Flags for the machine's own code, such as those of a coverage run, do not suit WebAssembly.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .context("running cargo")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{package} does not build for {TARGET}:\n{complaint}");
    let path = target.join(TARGET).join("filter").join(format!("{}.wasm", package.replace('-', "_")));
    if !path.is_file() {
        bail!("{package} was built, but {} is not there", path.display());
    }
    Ok(path)
}
