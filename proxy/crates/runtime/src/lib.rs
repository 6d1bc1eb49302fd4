//! Runs Weir's filters: engine, artifacts, instances, limits, and what the proxy does for a policy.
//!
//! The only crate that names wasmtime. It stands apart because wasmtime is expensive to build and
//! because nothing else should have to know it: from outside, a policy is a value that is shown a
//! [`View`] and answers with a [`Decision`].
//!
//! ```text
//! bytes -> Engine::load -> Artifact -> Program (linked, with limits and shared state) -> Instance
//! ```
//!
//! There are two [lanes](Lane): most policies are called directly, as the core module that they are; those that
//! are more than that are called as components. From outside they cannot be told apart, but for the time they take.
//!
//! An [`Artifact`] is compiled once. A [`Program`] is one configured filter. An [`Instance`] belongs to
//! one worker and runs hooks on the worker's own thread: a hook cannot block, so nothing here is
//! asynchronous.

mod artifact;
mod buckets;
mod cache;
mod clock;
mod compiler;
mod component;
pub mod contract;
mod direct;
mod engine;
mod fault;
mod host;
mod inspect;
mod instance;
mod lane;
mod limits;
mod program;
mod shared;
mod ticker;
mod view;

pub use artifact::{Artifact, HookSet, LoadError};
pub use buckets::{BucketSettings, Buckets};
pub use compiler::{Compiler, compile_for};
pub use contract::{
    Answer, AnswerFailure, ConnectionView, Decision, Interest, Outcome, Passage, Question, Reply, Verdict,
};
pub use engine::{Allocation, Engine, EngineError, EngineSettings};
pub use fault::Fault;
pub use host::{NoValues, Values};
pub use inspect::{Inspection, Kind, inspect};
pub use instance::Instance;
pub use lane::Lane;
pub use limits::Limits;
pub use program::{Program, ProgramSettings};
pub use shared::{Metric, Shared, SharedSettings};
pub use view::View;
