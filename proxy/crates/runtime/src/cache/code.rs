//! Loads compiled code: the one place beside `resident` where Weir writes `unsafe`.
#![allow(unsafe_code, reason = "wasmtime cannot verify machine code; the proof stands at the call")]

use std::path::Path;

use wasmtime::{Engine, Module, component::Component};

use crate::{direct::Plan, lane::Code};

/// Maps a file that [`super::Cache`] wrote and has just verified. Private: nobody else may call it.
pub(super) fn map(engine: &Engine, path: &Path, plan: Option<Plan>) -> wasmtime::Result<Code> {
    // SAFETY: `deserialize_file` wants bytes that `serialize` of a component or module (it finds out which, and
    // refuses the other) and of a compatible engine wrote, unmodified, and that do not change while they are mapped.
    //
    // 1. Written by us: the folder was checked at start to belong to our effective user with no access
    //    for anybody else, so nobody but that user - who may replace this very program - can put a
    //    file there. The file's own owner and mode were checked as well.
    // 2. Unmodified: `verify` found the SHA-256 that `keep` appended after serializing. Trailing bytes
    //    are outside the ELF image's sections and are not looked at.
    // 3. Compatible: the name holds a digest over wasmtime's compatibility hash and this crate's
    //    version, and wasmtime compares its own version, target and settings again.
    // 4. Unchanging: a file is written under another name and renamed, never written in place; `drop`
    //    and replacement unlink the name, while the mapping keeps the old file.
    unsafe {
        match plan {
            Some(plan) => Ok(Code::Direct(Module::deserialize_file(engine, path)?, plan)),
            None => Component::deserialize_file(engine, path).map(Code::Component),
        }
    }
}
