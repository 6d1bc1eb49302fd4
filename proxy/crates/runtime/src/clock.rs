//! The two clocks filters meet. Everything below takes `now` as an argument; only hosts read a clock.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds of Unix time.
pub(crate) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the first call; never goes back.
pub(crate) fn monotonic_ns() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since the first call; never goes back.
pub(crate) fn monotonic_ms() -> u64 {
    monotonic_ns() / 1_000_000
}
