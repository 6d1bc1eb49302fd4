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
//! - [`Standing`] says whether an endpoint is used, [`Ejector`] takes those out whose answers are bad. A picker itself
//!   knows of no health: it is told which positions to skip, and only when any are out.
//! - [`SlowStart`] says which part of its weight a newcomer takes, [`kept_in_zone`] how much traffic stays near.

mod backoff;
mod budget;
mod ejection;
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
mod slow_start;
mod standing;
mod turns;
mod zone;

pub use backoff::{Backoff, Jitter};
pub use budget::Budget;
pub use ejection::{Change, Ejector, Rules, SuccessRate};
pub use endpoint::Endpoint;
pub use gcra::Gcra;
pub use limit::Limit;
pub use load::{Ended, Load};
pub use picker::{Algorithm, Ask, Picker};
pub use random::{Random, Wyrand};
pub use slow_start::SlowStart;
pub use standing::{Health, Reason, Standing};
pub use zone::kept_in_zone;

/// Nanoseconds on a monotonic clock. Its origin is any moment before the first call, the same for all workers of
/// a process; a worker may lag behind another.
pub type Nanos = u64;
