//! Everything that `weir run` would refuse of a configuration, found without running it.

use std::{fs::OpenOptions, io, path::Path, sync::Arc};

use weir_config::{
    Config,
    checked::{AccessLog, Address},
};
use weir_runtime::{Allocation, Engine, EngineSettings};

use super::builtin_digested;
use crate::{snapshot::Builder, telemetry::metrics::Metrics};

/// Reads certificates and files of endpoints, compiles filters and has them take their configuration, as a start
/// would. Binds nothing, writes nothing and asks nobody: names that cannot be resolved keep no proxy from starting.
/// Answers a line for each problem.
pub fn check(config: &Config) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    match Engine::with_allocation(EngineSettings::default(), Allocation::OnDemand) {
        Ok(engine) => {
            let metrics = Metrics::new(1);
            let mut builder = Builder::new(engine, Arc::clone(&metrics), builtin_digested, 1, None);
            if let Err(errors) = builder.build(config.clone(), None) {
                problems.extend(errors.iter().map(ToString::to_string));
            }
        }
        Err(error) => problems.push(error.to_string()),
    }
    if let AccessLog::File(path) = &config.access_log
        && let Err(error) = appendable(path)
    {
        problems.push(format!("access_log.to: {}: {error}", path.display()));
    }
    for listener in &config.listeners {
        if let Address::Unix(path) = &listener.address
            && !parent(path).is_dir()
        {
            problems.push(format!(
                "listeners.{}: {}: its folder does not exist",
                listener.name,
                path.display()
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn appendable(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent(path).is_dir() => Ok(()),
        opened => opened.map(drop),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
