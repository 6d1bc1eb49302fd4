//! Weir as its users meet it: a process, real sockets, real TLS, real bad input. One file per topic.

mod captured;
mod demo;
mod discovery;
mod examples;
mod exchange;
mod mesh;
mod ops;
mod overload;
mod policies;
mod restart;
mod stage;
mod tunnels;
mod upstream;
mod wire;
