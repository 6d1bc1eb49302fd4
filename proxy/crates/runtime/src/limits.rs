//! What one instance may use, and the meter that watches it.
//!
//! Time is processor time of the worker's thread, not the clock on the wall: a worker that the system
//! puts aside must not cost its filter a fault. Reading that clock is a system call, so a hook is timed only
//! from its first deadline on, which comes within [`GRACE_TICKS`] epochs, and then at every tick.
//! A limit is therefore exact to about five milliseconds upwards: a hook may use `time` rounded up to
//! whole milliseconds, plus an epoch of four, plus one tick. It is never cut short.

use std::{sync::Arc, time::Duration};

use wasmtime::{ResourceLimiter, Trap, UpdateDeadline};

use crate::{
    fault::HostCallsUsedUp,
    ticker::{Overdue, Signal, TICK},
};

/// Epochs before a hook is timed. The first may end at once: then one hook more is timed than need be.
pub(crate) const GRACE_TICKS: u64 = 1;

/// Tables are for indirect calls; no policy has a million functions.
const MAX_TABLE_ELEMENTS: usize = 20_000;

/// Bounds of one filter's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of one hook.
    pub time: Duration,
    /// Processor time of instantiation with `configure`, and of each `update`.
    pub setup_time: Duration,
    /// Bytes of linear memory of one instance, all its memories together.
    pub memory: usize,
    /// Calls to the proxy in one hook; a hundred times that in `configure` and `update`.
    pub host_calls: u32,
    /// Bytes that one answer, or one call to the proxy, may carry out of the guest.
    pub answer: usize,
    /// Calls after which an instance should be made anew.
    pub calls: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(5),
            setup_time: Duration::from_secs(2),
            memory: 16 << 20,
            host_calls: 10_000,
            answer: 2 << 20,
            calls: 100_000_000,
        }
    }
}

/// Watches one instance.
pub(crate) struct Meter {
    limits: Limits,
    memory: usize,
    /// `memory` before the growth that was allowed last.
    memory_before: usize,
    memory_refused: bool,
    calls_left: u32,
    /// For the call under way.
    time: Duration,
    /// Processor time of this thread when the first deadline came, and word to the ticker that it goes on.
    timed_from: Option<(Duration, Overdue)>,
}

/// Which bounds hold for a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    Setup,
    Hook,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut meter = Self {
            limits,
            memory: 0,
            memory_before: 0,
            memory_refused: false,
            calls_left: 0,
            time: Duration::ZERO,
            timed_from: None,
        };
        meter.begin(Occasion::Setup);
        meter
    }

    /// A call begins: full budgets.
    #[inline]
    pub(crate) fn begin(&mut self, occasion: Occasion) {
        (self.time, self.calls_left) = match occasion {
            Occasion::Setup => (self.limits.setup_time, self.limits.host_calls.saturating_mul(100)),
            Occasion::Hook => (self.limits.time, self.limits.host_calls),
        };
        self.timed_from = None;
        self.memory_refused = false;
    }

    /// The call ended.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.timed_from.is_some() {
            self.timed_from = None;
        }
    }

    /// One call to the proxy.
    #[inline]
    pub(crate) fn charge(&mut self) -> wasmtime::Result<()> {
        match self.calls_left.checked_sub(1) {
            Some(left) => self.calls_left = left,
            None => return Err(wasmtime::Error::new(HostCallsUsedUp)),
        }
        Ok(())
    }

    /// A deadline passed: end the guest or give it another tick.
    pub(crate) fn at_deadline(&mut self, signal: &Arc<Signal>) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_time();
        let (from, _) = self.timed_from.get_or_insert_with(|| (now, Overdue::begin(signal)));
        let used = now.saturating_sub(*from);
        if used >= self.time.max(TICK) {
            return Err(Trap::Interrupt.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }

    /// Bytes of all memories.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Growth was denied since the call began.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory_refused
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl ResourceLimiter for Meter {
    /// `false` makes `memory.grow` answer -1: a guest that can do with less goes on.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.limits.memory {
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory_before = self.memory;
        self.memory = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory = self.memory_before;
        self.memory_refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        32
    }

    fn tables(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        8
    }
}

fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}
