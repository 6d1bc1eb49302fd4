//! The quality of balancing, shown by discrete-event simulation in virtual time. Each test prints its figures and its
//! seed (`cargo test -p weir-balance --test simulation -- --nocapture`); the README quotes them.

#![allow(clippy::print_stdout, reason = "figures are for the reader of a run")]

mod engine;
mod hashing;
mod refusals;
mod retry_storm;
mod server;
mod slow_endpoint;
mod slow_start;
mod stuck_endpoint;
mod two_choices;
mod zones;
