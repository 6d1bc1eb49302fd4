//! `weir check`: everything that `weir run` would refuse of a configuration, at once.

use std::{path::Path, process::ExitCode};

use anyhow::Result;

use super::print;
use crate::app;

/// Checks the file by itself, then with everything that it names.
pub(super) fn check(path: &Path) -> Result<ExitCode> {
    let name = path.display().to_string();
    let config = match weir_config::load(path) {
        Ok(config) => config,
        Err(report) => {
            eprintln!("{report}");
            return Ok(ExitCode::FAILURE);
        }
    };
    config.warnings.iter().for_each(|warning| eprintln!("{}", warning.with_source(&name)));
    if let Err(problems) = app::check(&config) {
        problems.iter().for_each(|problem| eprintln!("{name}: error: {problem}"));
        eprintln!("{name}: {} error{}", problems.len(), if problems.len() == 1 { "" } else { "s" });
        return Ok(ExitCode::FAILURE);
    }
    print(&format!("{name}: fine\n"))
}
