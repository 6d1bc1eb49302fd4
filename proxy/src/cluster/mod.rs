//! Clusters: groups of endpoints that serve the same, what they bear, and the connections to them.
//!
//! [`Cluster`] is what all workers share: endpoints with their load, limits. [`LocalCluster`] is one
//! worker's side of it: its pools of connections, its subsets.
//!
//! `endpoint.rs` holds what is known of an endpoint, `health.rs` decides which ones are out, `local.rs` picks among
//! the others; `toward.rs` is about clusters whose endpoints are where captured connections were going. Where endpoints come from is for [`crate::discovery`].

mod attempt;
mod bounds;
mod checkout;
mod choice;
mod connect;
mod endpoint;
mod health;
mod local;
mod multiplexed;
mod pool;
mod shared;
mod subset;
mod toward;

pub use attempt::Attempt;
pub use bounds::{Bound, Bounds, Permit};
pub use connect::{Connected, Purpose};
pub use endpoint::Endpoint;
pub use health::{Told, label};
pub use local::{Labels, LocalCluster, Picked};
pub use multiplexed::H2Connection;
pub use pool::{Checkout, H1Connection, Reuse};
pub use shared::{Cluster, Listed};

pub use crate::discovery::{Resolved, Target};
