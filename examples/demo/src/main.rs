//! `weir-demo --weir PATH [--once]`, usually run by `cargo xtask demo`.

#![allow(clippy::print_stdout)] // What it prints is what it is for.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use weir_demo::{Stage, play, tour};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED  {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (mut weir, mut once) = (None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--weir" => weir = arguments.next().map(PathBuf::from),
            "--once" => once = true,
            other => bail!("usage: weir-demo --weir PATH [--once]; what is {other:?}?"),
        }
    }
    let weir = weir.context("usage: weir-demo --weir PATH [--once]")?;
    if once {
        return play(&weir, |line| println!("ok  {line}")).await;
    }
    let stage = Stage::set(&weir).await?;
    println!("{}", tour(&stage)?);
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    println!("\ndraining");
    stage.leave().await
}
