//! Weir as its users meet it: a process, real sockets, real TLS, real bad input. One file per topic.

mod demo;
mod exchange;
mod mesh;
mod ops;
mod policies;
mod stage;
mod upstream;
mod wire;
