//! The command line.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use notify::Watcher;
use tokio::signal::unix::{SignalKind, signal};

use crate::{admin, app::App, telemetry::log};

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
        #[arg(long)]
        announce: Option<PathBuf>,
    },
    /// Checks a configuration file and names all that is wrong.
    Check {
        /// The configuration file.
        config: PathBuf,
    },
    /// Prints the JSON schema of the configuration.
    Schema,
    /// Looks at filters.
    Filter {
        #[command(subcommand)]
        command: FilterCommand,
    },
    /// Prints versions.
    Version,
}

#[derive(Debug, Subcommand)]
enum FilterCommand {
    /// Says what a WebAssembly file is: kind, hooks, imports, size.
    Inspect {
        /// The file.
        file: PathBuf,
    },
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what these commands are for")]
fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run { config, announce } => serve(&config, announce),
        Command::Check { config } => Ok(match weir_config::load(&config) {
            Ok(checked) => {
                checked.warnings.iter().for_each(|warning| eprintln!("{warning}"));
                println!("{}: fine", config.display());
                ExitCode::SUCCESS
            }
            Err(report) => {
                eprint!("{report}");
                ExitCode::FAILURE
            }
        }),
        Command::Schema => {
            println!("{}", serde_json::to_string_pretty(&weir_config::schema())?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Filter { command: FilterCommand::Inspect { file } } => {
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            println!("{:#?}", weir_runtime::inspect(&bytes)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            println!("weir {}\nweir:policy {}", env!("CARGO_PKG_VERSION"), weir_runtime::contract::VERSION);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn serve(config: &std::path::Path, announce: Option<PathBuf>) -> Result<ExitCode> {
    log::init(None, log::Format::Text)?;
    let app = App::start(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(control(&app, announce))?;
    app.drain();
    Ok(ExitCode::SUCCESS)
}

async fn control(app: &Arc<App>, announce: Option<PathBuf>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let admin = match app.admin_address() {
        Some(address) => Some(admin::start(app, address).await.context("admin")?),
        None => None,
    };
    let listeners: serde_json::Map<_, _> =
        app.listeners().into_iter().map(|(name, address)| (name.to_string(), address.into())).collect();
    if let Some(file) = announce {
        let text =
            serde_json::json!({ "admin": admin.map(|a| a.to_string()), "listeners": listeners }).to_string();
        let partial = file.with_extension("partial");
        std::fs::write(&partial, text)?;
        std::fs::rename(&partial, &file)?;
    }
    let (changed, mut changes) = tokio::sync::mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = changed.try_send(());
        }
    })?;
    // Folders, not files: editors and deployments replace a file by renaming another over it.
    for folder in app.files().iter().filter_map(|file| file.parent()) {
        let folder = if folder.as_os_str().is_empty() { std::path::Path::new(".") } else { folder };
        if let Err(error) = watcher.watch(folder, notify::RecursiveMode::NonRecursive) {
            tracing::warn!(%error, folder = %folder.display(), "changes here are not noticed");
        }
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = app.ending.notified() => return Ok(()),
            _ = hangup.recv() => app.reopen_log(),
            Some(()) = changes.recv() => {
                // A file may be written in pieces: wait for quiet.
                tokio::time::sleep(Duration::from_millis(50)).await;
                while changes.try_recv().is_ok() {}
            }
        }
        let reloading = Arc::clone(app);
        let _ = tokio::task::spawn_blocking(move || reloading.reload()).await;
    }
}
