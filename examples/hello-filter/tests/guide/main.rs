//! The guide tells the truth: its code compiles and does what is said, its configurations are accepted,
//! and the filter runs in the real host.
#![allow(missing_docs, clippy::unwrap_used)]

mod asking;
mod bodies;
mod connections;
mod counting;
mod data;
mod guide;
mod limits;
mod real_host;
