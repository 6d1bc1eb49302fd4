//! `weir compile-filter`: how a running proxy has a filter compiled by a process of its own. Not for people.

use std::{io::Read, path::Path, process::ExitCode};

use anyhow::Result;

/// Compiles the filter on standard input into a folder of compiled filters.
pub(super) fn compile(folder: &Path, instances: u32) -> Result<ExitCode> {
    let mut filter = Vec::new();
    std::io::stdin().lock().read_to_end(&mut filter)?;
    weir_runtime::compile_for(folder, instances, &filter)?;
    Ok(ExitCode::SUCCESS)
}
