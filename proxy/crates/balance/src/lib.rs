//! Which endpoint takes the next attempt, how much may be under way, and how long to wait before trying again.
//!
//! Everything here decides and nothing here acts: no I/O, no clock, no global source of randomness. Time comes in
//! as [`Nanos`], chance as [`Random`], so that each decision can be replayed from a seed and each quality claimed
//! is shown by a simulation (`tests/simulation`, figures in the README). State shared by workers is atomic;
//! nothing locks, and nothing on the path of an exchange allocates.
//!
//! - [`Load`] is what is known of one endpoint: attempts in flight and its peak-sensitive latency.
//! - [`Picker`] chooses among the endpoints of one list by an [`Algorithm`].
//! - [`Limit`] counts what is under way against a bound, [`Gcra`] meters a rate.
//! - [`Backoff`] spaces attempts, [`Budget`] bounds how many of them may be repetitions.
//!
//! # Where the rest of resilience belongs
//!
//! - *Passive health (ejection) and active health*: modules that are told each [`Ended`] or probe result, and
//!   answer which endpoints are in. They change the list a [`Picker`] is built for; a picker itself knows of no
//!   health, so priorities, zones and the panic threshold also are choices among lists.
//! - *Slow start*: a weight that grows with age, hence also a matter of the list.

mod backoff;
mod budget;
mod endpoint;
mod gcra;
mod limit;
mod load;
mod maglev;
mod picker;
mod random;
mod ring;
mod rotation;
mod sampler;
mod turns;

pub use backoff::{Backoff, Jitter};
pub use budget::Budget;
pub use endpoint::Endpoint;
pub use gcra::Gcra;
pub use limit::Limit;
pub use load::{Ended, Load};
pub use picker::{Algorithm, Ask, Picker};
pub use random::{Random, Wyrand};

/// Nanoseconds on a monotonic clock. Its origin is any moment before the first call, the same for all workers of
/// a process; a worker may lag behind another.
pub type Nanos = u64;
