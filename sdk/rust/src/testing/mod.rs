//! A proxy made of values, for `cargo test` of a filter: no proxy, no network, no WebAssembly.
//!
//! [`Filter`] holds an instance of a filter in a world of its own: shared state, a clock that stands
//! still unless told, seeded random numbers, metrics and log lines to read back, real cryptography.
//! Values are shown as the proxy shows them: only those the filter asked for, joined and named by the
//! same rules, and only for exchanges that meet its `when`. A decision the proxy would refuse as a
//! wrong answer panics here, with the reason.
//!
//! ```
//! # use weir_sdk::{Decision, Metric, NoConfig, Outcome, Policy, Request, Setup, Field};
//! # struct Login { token: Field, accepted: Metric }
//! # #[weir_sdk::filter]
//! # impl Policy for Login {
//! #     fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
//! #         Ok(Login { token: setup.request("authorization"), accepted: Metric::named("accepted", "Let in.") })
//! #     }
//! #     fn on_request(&mut self, request: &Request<'_>) -> Decision {
//! #         if request.get(self.token).is_some() { Decision::pass().into() } else { Decision::answer(401).into() }
//! #     }
//! #     fn on_complete(&mut self, _: &Outcome) { self.accepted.increment() }
//! # }
//! # fn main() -> Result<(), String> {
//! use serde_json::json;
//! use weir_sdk::testing::Filter;
//!
//! let filter = Filter::<Login>::new(json!({}))?;
//! assert_eq!(filter.request().path("/x").send().status(), Some(401));
//!
//! let mut exchange = filter.request().header("authorization", "Bearer ..").begin();
//! assert!(exchange.passed());
//! exchange.respond(200, &[("server", "origin")]);
//! exchange.end(200);
//! assert_eq!(filter.metric("accepted"), 1);
//! # Ok(())
//! # }
//! ```

pub(crate) mod backend;
mod check;
mod connection;
mod exchange;
mod filter;
mod head;
mod jwk;
mod request;
mod world;

pub use connection::ConnectionBuilder;
pub use exchange::Exchange;
pub use filter::{Builder, Filter};
pub use request::RequestBuilder;
