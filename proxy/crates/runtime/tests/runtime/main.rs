//! The runtime from outside: guests written by hand, good and hostile, through the real engine.

#![allow(clippy::unwrap_used, reason = "tests")]

mod connection;
mod contract;
mod engine;
mod guest;
mod hostile;
mod imports;
mod lanes;
mod log;
mod start;
mod wasi;

use start::{ENGINE, ask, pass, program_with, settings, start, try_start};

/// Guests are called directly if they can be. The tests of `tests/component` are these without that.
const DIRECT: bool = true;
