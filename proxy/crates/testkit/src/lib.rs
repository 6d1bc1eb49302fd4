//! Test equipment for Weir: everything a test needs around the proxy, and nothing of the proxy itself.
//!
//! It stands apart so that tests judge Weir by what crosses its sockets: the proxy runs as a process
//! ([`WeirProcess`]), origins and clients speak bytes, and no code is shared by both sides of a check.
//! Every wait is bounded ([`within`]), every port is given by the system, every task ends with its owner.

mod agent;
mod ca;
mod deadline;
mod dns;
mod echo;
mod guest;
mod h2_client;
mod h2_origin;
mod http1;
mod load;
mod namespace;
mod pipe;
mod process;
mod raw_h2;
mod raw_origin;
mod response;
mod script;
mod stream;
mod tasks;
mod wire;

pub use agent::Agent;
pub use ca::{Ca, Leaf, SvidPlan};
pub use deadline::{PATIENCE, eventually, within};
pub use dns::{DnsAnswer, DnsRecord, DnsServer};
pub use echo::{EchoOptions, EchoOrigin, EchoProtocol};
pub use guest::build_guest;
pub use h2_client::{Http2, Sending};
pub use h2_origin::{H2Answer, H2Origin, H2Seen};
pub use http1::Http1;
pub use load::{Load, LoadPlan, LoadReport};
pub use namespace::Namespace;
pub use pipe::{Faults, FaultyPipe};
pub use process::{Launch, Output, WeirProcess};
pub use raw_h2::{Frame, RawH2};
pub use raw_origin::RawOrigin;
pub use response::{Framing, Response};
pub use rustix::process::Signal;
pub use script::{Ending, Script, ScriptedOrigin, Seen};
pub use stream::Stream;
pub use wire::{Head, Wire};
