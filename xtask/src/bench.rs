//! `cargo xtask bench`: what Weir costs, measured in the release profile.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{
    cargo::{built_release, cargo, succeed},
    wasm_target,
};

/// `load` and `spine` with the load benchmark's options, `micro` with criterion's.
pub(crate) fn run(rest: &[&str]) -> Result<()> {
    wasm_target::ensure()?;
    match rest {
        ["load", options @ ..] => load("run", &[], options),
        ["spine", options @ ..] => load("spine", &["--features", "weir-bench/valgrind"], options),
        ["micro", options @ ..] => {
            let mut micro = cargo(&["bench", "--package", "weir-bench", "--bench", "micro", "--"]);
            let options = match options.iter().position(|option| *option == "--json") {
                Some(place) => {
                    let file = options.get(place + 1).context("--json wants a file")?;
                    // Criterion knows no such option, and runs elsewhere.
                    micro.env("WEIR_BENCH_JSON", std::path::absolute(file)?);
                    [&options[..place], &options[place + 2..]].concat()
                }
                None => options.to_vec(),
            };
            micro.args(options);
            succeed(micro)
        }
        _ => bail!("bench what? `load`, `spine` or `micro`; see benches/README.md"),
    }
}

fn load(command: &str, features: &[&str], options: &[&str]) -> Result<()> {
    let mut build = cargo(&["build", "--release", "--package", "weir", "--package", "weir-bench"]);
    build.args(features);
    succeed(build)?;
    let mut load = Command::new(built_release("weir-load"));
    load.arg(command).arg("--weir").arg(built_release("weir")).args(options);
    succeed(load)
}
