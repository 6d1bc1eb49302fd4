//! What the proxy tells about itself: metrics, access log, its own log, trace context.
//!
//! Nothing here decides anything about an exchange, and nothing here may slow one down: counting is a
//! store to memory of the own worker, logging is a copy to a bounded buffer.

pub mod access_log;
pub mod log;
pub mod metrics;
pub mod trace_context;
