//! TCP: connections of which the proxy does not know what they speak.
//!
//! ```text
//! choose    the listener's cluster, or the one of the name in the TLS hello (passthrough)
//! connect   pick an endpoint -> connect; another one if that fails, nothing having been sent
//! relay     both ways until both have ended, silence, or a failure
//! account   metrics, access log - exactly once
//! ```
//!
//! The endpoint is connected to before a byte has come: where the server speaks first, nobody waits.

mod account;
mod hello;
mod route;
mod serve;

pub use hello::{Hello, hello};
pub use route::route;
pub use serve::{Caller, serve};
