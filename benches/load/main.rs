//! The load benchmark: Weir and its peers side by side on the same work, CPU time per request.
//!
//! The parent process plans and adds up; origin and load are this binary again, as processes of their own, so
//! that they can be kept on another core than the proxy.

#![allow(clippy::print_stdout)] // Its output is what a benchmark is for.

mod cpu;
mod floor;
mod generate;
mod http1;
mod http2;
mod idle;
mod origin;
mod pace;
mod plan;
mod reload;
mod rounds;
mod spine;
mod start;
mod stream;
mod subjects;
mod swap;
mod table;
mod tls;
mod token;
mod websocket;
mod work;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "weir-load", about = "Measures Weir beside its peers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the benchmark.
    Run(plan::Plan),
    /// Counts the instructions of an exchange.
    Spine(spine::Plan),
    /// An origin, as a child of the benchmark.
    #[command(hide = true)]
    Origin(origin::Options),
    /// A load, as a child of the benchmark.
    #[command(hide = true)]
    Generate(generate::Options),
    /// A proxy of nothing but hyper, as a child of the benchmark.
    #[command(hide = true)]
    Floor(floor::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Run(plan) => plan::run(&plan),
        Command::Spine(plan) => spine::run(&plan),
        Command::Origin(options) => origin::serve(&options),
        Command::Generate(options) => generate::run(&options),
        Command::Floor(options) => floor::serve(&options),
    }
}
