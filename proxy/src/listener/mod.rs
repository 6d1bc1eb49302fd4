//! Listening: sockets, workers, and what arrives on them.

pub mod accept;
mod admission;
mod captured;
mod closing;
mod connection;
pub mod crowd;
mod detect;
mod introduction;
pub mod socket;
pub mod sockets;
pub mod worker;
