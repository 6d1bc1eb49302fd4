//! Weir: a programmable proxy whose policies are WebAssembly. Everything that does I/O lives here; what
//! can be decided without it lives in the crates beside.

pub mod admin;
pub mod app;
pub mod capture;
pub mod chain;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod data;
pub mod discovery;
pub mod error;
pub mod files;
pub mod http;
pub mod identity;
pub mod listener;
pub mod message;
pub mod overload;
pub mod proxy_protocol;
pub mod reload;
pub mod resident;
pub mod restart;
pub mod snapshot;
pub mod stream;
pub mod tcp;
pub mod telemetry;
pub mod tls;
pub mod worker;
