//! `cargo xtask demo`: builds Weir and the demo, and hands over to it.
//!
//! The demo is a package of its own (`examples/demo`), because it needs the test equipment and with it a TLS
//! stack, which `cargo xtask test` should not have to wait for.

use std::process::Command;

use anyhow::Result;

use crate::{
    cargo::{built, cargo, succeed},
    wasm_target,
};

/// `rest` goes to the demo.
pub(crate) fn run(rest: &[&str]) -> Result<()> {
    wasm_target::ensure()?;
    succeed(cargo(&["build", "--package", "weir", "--package", "weir-demo"]))?;
    let mut demo = Command::new(built("weir-demo"));
    demo.arg("--weir").arg(built("weir")).args(rest);
    succeed(demo)
}
