//! Listening: sockets, and what arrives on them.

pub mod accept;
pub mod socket;
pub mod sockets;
