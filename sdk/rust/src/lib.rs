//! Write Weir filters in Rust.
//!
//! A filter is a plain struct and an `impl Policy`. It is shown the values it asked for and answers
//! with a [`Decision`]; the proxy carries the decision out. The package is a `cdylib` built for
//! `wasm32-unknown-unknown`; the proxy loads the file as it is.
//!
//! ```
//! use serde::Deserialize;
//! use weir_sdk::{Decision, Field, Policy, Request, Setup};
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     forbidden: String,
//! }
//!
//! pub struct Gate {
//!     forbidden: String,
//!     agent: Field,
//! }
//!
//! #[weir_sdk::filter]
//! impl Policy for Gate {
//!     fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
//!         Ok(Gate { forbidden: config.forbidden, agent: setup.request("user-agent") })
//!     }
//!
//!     fn on_request(&mut self, request: &Request<'_>) -> Decision {
//!         match request.text(self.agent) {
//!             Some(agent) if agent.contains(&self.forbidden) => Decision::answer(403).reason("agent").into(),
//!             _ => Decision::pass().into(),
//!         }
//!     }
//! }
//! # fn main() -> Result<(), String> {
//! // In a test, without a proxy:
//! let filter = weir_sdk::testing::Filter::<Gate>::new(serde_json::json!({ "forbidden": "bot" }))?;
//! let decision = filter.request().header("user-agent", "a bot").send();
//! assert_eq!(decision.status(), Some(403));
//! # Ok(())
//! # }
//! ```
//!
//! Three layers, from an author's side down: the trait and its values (`policy`, `connection`, `exchange`,
//! `decision`, `setup`), what the proxy offers (`state`, `host`, `crypto`), and two backends for both:
//! `abi` speaks the canonical ABI with the proxy, `testing` is a proxy made of values for `cargo test`.

mod connection;
pub mod crypto;
mod decision;
mod exchange;
mod host;
mod log;
mod policy;
mod ready;
mod setup;
pub mod state;
mod text;
mod time;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod abi;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(target_family = "wasm")]
use abi::imports as backend;
#[cfg(not(target_family = "wasm"))]
use testing::backend;

pub use connection::{Address, Connection, Protocol, Verdict};
pub use decision::{Decision, Edit, Passage, Question, Reply, Route};
pub use exchange::{Answer, AnswerFailure, AnswerMessage, Body, Outcome, Request, Response};
pub use host::{Level, Metric, log, now_ms, random};
pub use policy::{Config, Hooks, NoConfig, Policy};
pub use ready::Ready;
pub use setup::{Cluster, Condition, Field, ResponseField, Setup, Test};
pub use text::{Bytes, Text};
pub use time::{Moment, Span};
pub use weir_sdk_macros::filter;
