//! Byte streams: one type for every kind of connection, and the buffers that connections share.
//!
//! It stands apart because both sides of an exchange use it, and because nothing above it should care
//! whether bytes travel over TCP, a Unix socket or TLS.

mod buffer;
mod deadline;
mod io;
mod peek;
mod pipe;
mod prefixed;
mod relay;

pub use buffer::{Buffer, BufferPool};
pub use deadline::{Deadline, Elapsed};
pub use io::{Io, Raw, Transport};
pub use pipe::PipePool;
pub use prefixed::Prefixed;
pub use relay::{End, Means, Relayed, Side, relay};
