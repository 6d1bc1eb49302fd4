//! The chain: which filters decide on an exchange, what they are shown, and what their decisions do.
//!
//! [`FilterPlan`] is a filter of one generation as all workers share it: the program, what it asked for.
//! [`LocalFilter`] is one worker's side: its instance, its memory of decisions, its back-off. The
//! exchange walks over the local filters; nothing here waits.

mod apply;
mod connection;
mod data;
mod filter;
mod instance;
pub mod memory;
mod plan;
mod recipe;
mod tally;
mod worth;

pub use apply::{apply_to_request, apply_to_response, check_reply};
pub use connection::{Refused, judge_connection, judges_connections};
pub use data::{DATA_LARGEST, DataEntry, DataSet, read_data};
pub use filter::{Given, LocalFilter, Ruling};
pub use plan::{FilterPlan, Granted, LastFault, PlanError, Prepare};
pub use recipe::{Recipe, Shown};
pub use tally::Prepared;
