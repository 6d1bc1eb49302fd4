//! The target that filters are compiled for: added if it is missing, or else said exactly what to install.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::cargo::output;

const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that filters can be compiled.
pub(crate) fn ensure() -> Result<()> {
    if installed() {
        return Ok(());
    }
    eprintln!("adding the compilation target {TARGET}");
    // In the workspace, so that a pinned toolchain gets it.
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(crate::cargo::workspace())
        .status();
    if added.is_ok_and(|status| status.success()) && installed() {
        return Ok(());
    }
    bail!("{}", advice())
}

fn installed() -> bool {
    let mut rustc = rustc();
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    output(rustc).is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn rustc() -> Command {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(crate::cargo::workspace());
    rustc
}

fn advice() -> String {
    let mut ask = rustc();
    ask.arg("--version");
    let version = output(ask).unwrap_or_default();
    let number = version.split_whitespace().nth(1).unwrap_or("that cargo uses");
    format!(
        "filters are compiled for {TARGET}, which is not installed and could not be added by rustup.\n\
         Install the standard library of that target for Rust {number}:\n  \
         with rustup:        rustup target add {TARGET}\n  \
         without a network:  the component rust-std-{number}-{TARGET} from https://static.rust-lang.org/dist,\n                      \
         unpacked, its install.sh run with --prefix=\"$(rustc --print sysroot)\"\n  \
         from Debian:        apt-get install libstd-rust-dev-wasm32 (if its version is {number})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_the_target_and_the_version() {
        let advice = advice();
        assert!(advice.contains("rustup target add wasm32-unknown-unknown"), "{advice}");
        assert!(advice.contains("rust-std-1."), "{advice}");
    }
}
