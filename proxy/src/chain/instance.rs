//! A worker's instance of a filter: there, or about to be made again after a fault.
//!
//! Making an instance costs the worker's time, and a caller who found a request that traps could spend it
//! for everyone. So re-creation has a budget: while it has taken more than a fifth of the last second, the
//! filter has no instance and config's `on_fault` speaks. An instance that cannot be made at all is tried
//! again after a doubling pause.

use std::time::Duration;

use weir_runtime::Instance;

use super::{DataSet, FilterPlan, plan::Prepared};
use crate::{clock::Nanos, message::Request, worker::Worker};

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
    /// It could not be made.
    Failed(String),
}

impl Slot {
    /// The instance, made if need be and allowed, with the newest data. The second value says that data
    /// changed, so that what was remembered is void.
    pub(super) fn instance(
        &mut self,
        worker: &Worker,
        plan: &FilterPlan,
    ) -> Result<(&mut Instance<Request>, bool), Absent> {
        if self.ready.is_none() {
            self.ready = Some(self.make(worker, plan)?);
        }
        let Some(prepared) = &mut self.ready else { return Err(Absent::HeldBack) };
        let changed = plan.data.version() != prepared.data_version;
        if changed && let Err(fault) = show(prepared, &plan.data, plan.name()) {
            self.ready = None;
            return Err(Absent::Failed(fault));
        }
        match &mut self.ready {
            Some(prepared) => Ok((&mut prepared.instance, changed)),
            None => Err(Absent::HeldBack),
        }
    }

    /// The instance faulted: it goes.
    pub(super) fn discard(&mut self) {
        self.ready = None;
    }

    /// The version of the data that the instance has seen; none without an instance.
    pub(super) fn data_version(&self) -> u64 {
        self.ready.as_ref().map_or(u64::MAX, |prepared| prepared.data_version)
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
            Err(reason) => {
                let pause = PAUSE.0.saturating_mul(1 << self.failures.min(16)).min(PAUSE.1);
                self.failures += 1;
                self.not_before = now + pause.as_nanos() as u64;
                Err(Absent::Failed(reason))
            }
        }
    }
}

/// Shows an instance the data that changed. An error text of the filter keeps the data it has.
fn show(prepared: &mut Prepared, data: &DataSet, filter: &str) -> Result<(), String> {
    let version = data.version();
    for entry in data.since(prepared.data_version) {
        match prepared.instance.update(&entry.name, &entry.content) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => {
                tracing::warn!(
                    filter,
                    data = &*entry.name,
                    reason,
                    "new data refused; the old stay in force"
                );
            }
            Err(fault) => return Err(fault.to_string()),
        }
    }
    prepared.data_version = version;
    Ok(())
}
