//! `weir compile-filter`: how a running proxy has a filter compiled by a process of its own. Not for people.

use std::{io::Read, path::Path, process::ExitCode};

use anyhow::Result;

/// How far the compiler steps back (nice): exchanges are served first where there are too few cores for both,
/// and a swap is still done within seconds on a machine that is never idle.
const NICE: i32 = 15;

/// Compiles the filter on standard input into a folder of compiled filters.
pub(super) fn compile(folder: &Path, instances: u32) -> Result<ExitCode> {
    // Whoever may not even do this compiles as eagerly as anybody.
    let _ = rustix::process::setpriority_process(None, NICE);
    let mut filter = Vec::new();
    std::io::stdin().lock().read_to_end(&mut filter)?;
    weir_runtime::compile_for(folder, instances, &filter)?;
    Ok(ExitCode::SUCCESS)
}
