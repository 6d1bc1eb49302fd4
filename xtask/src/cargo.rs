//! Running cargo in the workspace.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}

/// The cargo that runs this chore, to be given arguments.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    // Set by cargo for this process; they would confuse a cargo that builds other packages.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// Runs it, with its output shown, and fails if it fails.
pub(crate) fn succeed(mut command: Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("running {shown}"))?;
    ensure!(status.success(), "{shown} failed ({status})");
    Ok(())
}

/// Runs it and gives its standard output; fails if it fails.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("running {shown}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} failed ({}): {}", output.status, complaint.trim());
    String::from_utf8(output.stdout).context("output is not UTF-8")
}

/// Where cargo puts what it builds in the profile that chores use.
pub(crate) fn built(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// Where cargo puts what it builds in the release profile.
pub(crate) fn built_release(name: &str) -> PathBuf {
    target().join("release").join(name)
}

fn target() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    workspace().join(target)
}
