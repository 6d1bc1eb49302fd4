//! The component lane, held to the same tests as the direct one.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../runtime/connection.rs"]
mod connection;
#[path = "../runtime/contract.rs"]
mod contract;
#[allow(dead_code, reason = "some of it is for comparing the lanes")]
#[path = "../runtime/guest.rs"]
mod guest;
#[path = "../runtime/hostile.rs"]
mod hostile;
#[path = "../runtime/imports.rs"]
mod imports;
#[path = "../runtime/log.rs"]
mod log;
#[path = "../runtime/start.rs"]
mod start;

use start::{ENGINE, ask, pass, program_with, settings, start, try_start};

/// Every guest is called as a component.
const DIRECT: bool = false;
