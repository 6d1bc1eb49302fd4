//! `cargo xtask bench`: what Weir costs, measured in the release profile.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    cargo::{built_release, cargo, succeed},
    wasm_target,
};

/// `load` with the load benchmark's options, or `micro` with criterion's.
pub(crate) fn run(rest: &[&str]) -> Result<()> {
    wasm_target::ensure()?;
    match rest {
        ["load", options @ ..] => {
            succeed(cargo(&["build", "--release", "--package", "weir", "--package", "weir-bench"]))?;
            let mut load = Command::new(built_release("weir-load"));
            load.arg("run").arg("--weir").arg(built_release("weir")).args(options);
            succeed(load)
        }
        ["micro", options @ ..] => {
            let mut micro = cargo(&["bench", "--package", "weir-bench", "--bench", "micro", "--"]);
            micro.args(options);
            succeed(micro)
        }
        _ => bail!("bench what? `load` or `micro`; see benches/README.md"),
    }
}
