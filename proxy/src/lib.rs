//! Weir: a programmable proxy whose policies are WebAssembly. Everything that does I/O lives here; what
//! can be decided without it lives in the crates beside.

pub mod clock;
pub mod http;
pub mod listener;
pub mod telemetry;
pub mod tls;
