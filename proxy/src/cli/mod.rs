//! The command line.
//!
//! A command ends with 0 if all is well, with 1 if what it was given is not, and with 2 if it was called wrongly.
//! What went wrong goes to standard error.

mod capture;
mod certs;
mod check;
mod compile;
mod inspect;
mod run;
mod succession;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{app, telemetry::log};

/// A programmable proxy whose policies are WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "weir", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the proxy until SIGTERM.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Writes the bound addresses to this file once ready, as JSON.
        #[arg(long, value_name = "FILE")]
        announce: Option<PathBuf>,
        /// How the lines of its own log look.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        log_format: log::Format,
    },
    /// Names everything that `run` would refuse of a configuration; binds nothing.
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Prints the JSON schema of the configuration.
    Schema,
    /// Looks at filters.
    Filter {
        #[command(subcommand)]
        command: FilterCommand,
    },
    /// Makes an authority for development, and SVIDs from it.
    Certs {
        #[command(subcommand)]
        command: certs::Certs,
    },
    /// Leads a service's connections through the proxy beside it, without the service knowing.
    Capture {
        #[command(subcommand)]
        command: capture::CaptureCommand,
    },
    /// Compiles the filter on standard input: what a running proxy calls.
    #[command(name = app::COMPILE, hide = true)]
    CompileFilter {
        /// Where compiled filters lie.
        folder: PathBuf,
        /// As the proxy's engine is set up.
        instances: u32,
    },
    /// Prints the version of Weir and of the contract with filters.
    Version,
}

#[derive(Debug, Subcommand)]
enum FilterCommand {
    /// Says what a WebAssembly file is: kind, contract, hooks, imports, size. Fails if it is no filter that Weir
    /// runs.
    Inspect {
        /// The file, or builtin:NAME.
        file: String,
    },
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    match command(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run { config, announce, log_format } => run::run(&config, announce, log_format),
        Command::Check { config } => check::check(&config),
        Command::Schema => print(&(serde_json::to_string_pretty(&weir_config::schema())? + "\n")),
        Command::Filter { command: FilterCommand::Inspect { file } } => inspect::inspect(&file),
        Command::Certs { command } => certs::certs(&command),
        Command::Capture { command } => capture::run(command),
        Command::CompileFilter { folder, instances } => compile::compile(&folder, instances),
        Command::Version => print(&format!(
            "weir {}\nweir:policy {}\n",
            env!("CARGO_PKG_VERSION"),
            weir_runtime::contract::VERSION
        )),
    }
}

/// Whoever reads may have enough after the first lines (`weir schema | head`).
fn print(text: &str) -> Result<ExitCode> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
