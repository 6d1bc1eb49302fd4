//! A worker's instance of a filter: there, or about to be made again after a fault.
//!
//! Making an instance costs the worker's time, and a caller who found a request that traps could spend it
//! for everyone. So re-creation has a budget: while it has taken more than a fifth of the last second, the
//! filter has no instance and config's `on_fault` speaks. An instance that cannot be made at all is tried
//! again after a doubling pause.

use std::time::Duration;

use weir_runtime::Fault;

use super::{FilterPlan, Prepared};
use crate::{clock::Nanos, telemetry::metrics::Hook, worker::Worker};

/// Time that re-creation may take out of each second.
const BUDGET: Nanos = 200_000_000;
const SECOND: Nanos = 1_000_000_000;
/// First and longest pause after an instance could not be made.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// Where a worker keeps its instance of a filter.
#[derive(Debug, Default)]
pub(super) struct Slot {
    ready: Option<Prepared>,
    /// Nanoseconds of re-creation that were spent and not yet forgotten.
    spent: Nanos,
    spent_at: Nanos,
    failures: u32,
    not_before: Nanos,
}

/// There is no instance now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absent {
    /// Later: re-creation is held back.
    HeldBack,
    /// It could not be made, or it broke on new data.
    Failed(Fault),
}

impl Slot {
    /// The instance, made if need be and allowed, with the newest data.
    pub(super) fn instance(&mut self, worker: &Worker, plan: &FilterPlan) -> Result<&mut Prepared, Absent> {
        if self.ready.is_none() {
            self.ready = Some(self.make(worker, plan)?);
        }
        let outdated = self.ready.as_ref().is_some_and(|p| p.data_version != plan.data.version());
        if outdated && let Err(fault) = self.show(worker, plan) {
            self.discard();
            return Err(Absent::Failed(fault));
        }
        self.ready.as_mut().ok_or(Absent::HeldBack)
    }

    /// The instance faulted: it goes.
    pub(super) fn discard(&mut self) {
        self.ready = None;
    }

    fn make(&mut self, worker: &Worker, plan: &FilterPlan) -> Result<Prepared, Absent> {
        let now = worker.clock.now();
        // What was spent is forgotten at the rate of the budget.
        let forgotten = now.saturating_sub(self.spent_at) / (SECOND / BUDGET);
        self.spent = self.spent.saturating_sub(forgotten);
        self.spent_at = now;
        if now < self.not_before || self.spent > BUDGET {
            return Err(Absent::HeldBack);
        }
        let made = plan.instance();
        self.spent += worker.clock.now().saturating_sub(now);
        match made {
            Ok(prepared) => {
                self.failures = 0;
                Ok(prepared)
            }
            Err(fault) => {
                let pause = PAUSE.0.saturating_mul(1 << self.failures.min(16)).min(PAUSE.1);
                self.failures += 1;
                self.not_before = now + pause.as_nanos() as u64;
                Err(Absent::Failed(fault))
            }
        }
    }

    /// Shows the instance the data that changed. An error text of the filter keeps the data it has.
    fn show(&mut self, worker: &Worker, plan: &FilterPlan) -> Result<(), Fault> {
        let Some(prepared) = &mut self.ready else { return Ok(()) };
        let version = plan.data.version();
        for entry in plan.data.since(prepared.data_version) {
            plan.metrics.calls.one(worker.index, Hook::Update);
            if let Err(reason) = prepared.instance.update(&entry.name, &entry.content)? {
                let (filter, data) = (&**plan.name(), &*entry.name);
                tracing::warn!(filter, data, reason, "new data refused; the old stay in force");
            }
        }
        prepared.data_version = version;
        Ok(())
    }
}
