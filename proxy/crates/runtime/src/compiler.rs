//! Compiling in a process of its own.
//!
//! A compiler needs tens of megabytes that an allocator does not give back, so a proxy that compiled once
//! would be several times as large as one that found its filters compiled. And whatever a stranger's filter
//! does to a compiler, it does to a process that nobody is waiting in.
//!
//! The other process is called as `PROGRAM ARGUMENTS FOLDER INSTANCES`, reads the filter from its standard
//! input, hands it to [`compile_for`] and ends with 0 if that went well. What it compiled lies in the folder
//! then, where [`crate::cache`] takes it from under its own rules.

use std::{
    ffi::OsString,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use crate::{Engine, EngineSettings, LoadError};

/// A program that compiles: usually the proxy itself, called in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    /// The program; the same build of Weir, else what it compiles is not used.
    pub program: PathBuf,
    /// What it is called with, before the folder.
    pub arguments: Vec<OsString>,
}

/// What the other process does: compiles a filter into a folder, as [`EngineSettings::instances`] says.
pub fn compile_for(folder: &Path, instances: u32, filter: &[u8]) -> Result<(), LoadError> {
    let settings = EngineSettings { cache: Some(folder.to_owned()), instances, ..EngineSettings::default() };
    let engine = Engine::new(settings).map_err(|error| LoadError::Compiler(error.to_string()))?;
    engine.load(filter).map(|_artifact| ())
}

impl Compiler {
    /// True if it is compiled; false if this process has to try, if only to learn what is wrong with it. The
    /// error is of a compiler that did not survive, which is not tried here.
    pub(crate) fn compile(&self, folder: &Path, instances: u32, filter: &[u8]) -> Result<bool, LoadError> {
        match self.run(folder, instances, filter) {
            Ok(status) => match status.signal() {
                Some(signal) => Err(LoadError::Compiler(format!("ended by signal {signal}"))),
                None => Ok(status.success()),
            },
            Err(error) => {
                tracing::warn!(program = %self.program.display(), %error, "compiled in the proxy itself");
                Ok(false)
            }
        }
    }

    fn run(&self, folder: &Path, instances: u32, filter: &[u8]) -> std::io::Result<ExitStatus> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(folder)
            .arg(instances.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends early reads no more; its status says what became of it.
            _ = stdin.write_all(filter);
        }
        child.wait()
    }
}
