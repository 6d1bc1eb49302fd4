//! Clusters: groups of endpoints that serve the same, what they bear, and the connections to them.
//!
//! [`Cluster`] is what all workers share: endpoints with their load, limits. [`LocalCluster`] is one
//! worker's side of it: its pools of connections, its subsets.
//!
//! `endpoint.rs` holds what is known of an endpoint, `health.rs` decides which ones are out, `local.rs` picks among
//! the others.

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

pub use connect::{Connected, Resolved};
pub use endpoint::{Endpoint, Target};
pub use health::{Told, label};
pub use local::{Labels, LocalCluster, Picked};
pub use multiplexed::H2Connection;
pub use pool::{Checkout, H1Connection, Reuse};
pub use shared::{Bound, Cluster, Permit};
