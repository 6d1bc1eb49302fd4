//! The floors: programs that do nothing but pass on, each by the barest means there are.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{Running, Stage, announced, pinned};
use crate::work::{Policies, Wire};

/// A proxy of nothing but hyper. The outer error says that this is no work for it.
pub(super) fn hyper(stage: &Stage) -> Result<Result<Running>, String> {
    let wire = stage.work.wire();
    if stage.policies != Policies::None || stage.work.is_relay() || !matches!(wire, Wire::H1 | Wire::H2c) {
        return Err("does plain HTTP without policies only".to_owned());
    }
    let start = || {
        let mut command = pinned(&std::env::current_exe()?);
        command.args(["floor", "--origin", &stage.origin(0).to_string()]);
        if wire == Wire::H2c {
            command.arg("--h2");
        }
        announced(command)
    };
    Ok(start())
}

/// A relay of nothing but `splice`. The outer error says that this is no work for it.
pub(super) fn splice(stage: &Stage) -> Result<Result<Running>, String> {
    if !stage.work.is_relay() {
        return Err("passes bytes on, and knows no HTTP".to_owned());
    }
    let start = || {
        let mut command = pinned(&splice_binary()?);
        command.arg(stage.origin(0).to_string());
        announced(command)
    };
    Ok(start())
}

/// Built in a workspace of its own: what it wants of the kernel's interface, the product does without.
fn splice_binary() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("splice");
    let target = package.ancestors().nth(2).context("the workspace")?.join("target/splice");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(package)
        .output()
        .context("running cargo")?;
    ensure!(output.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(target.join("release/weir-splice"))
}
