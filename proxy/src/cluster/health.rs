//! Which endpoints of a cluster are used: what attempts tell of them is turned into ejections and returns, and these
//! into log lines, metrics, and the one number that picks look at.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use weir_balance::{Change, Ejector, Reason, Rules, Standing, SuccessRate};
use weir_config::checked::{self, Initial};

use super::{Cluster, Endpoint};
use crate::{
    clock::Nanos,
    telemetry::metrics::{Ejected, SHARED},
    worker::{Dice, Worker},
};

/// What an attempt told of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is well.
    Good,
    /// It failed.
    Bad,
    /// Nothing: the attempt was given up on this side.
    Nothing,
}

impl Cluster {
    /// Whether all endpoints are used, for their whole weight. One relaxed load, for each pick.
    pub fn all_in(&self) -> bool {
        self.care.load(Relaxed) == 0
    }

    /// How many endpoints are used.
    pub(super) fn in_use(&self) -> usize {
        self.endpoints.len().saturating_sub(self.care.load(Relaxed) as usize / 2)
    }

    /// Whether so few are used that it is better to use all. That is counted.
    pub(super) fn panics(&self, worker: &Worker, used: usize, all: usize) -> bool {
        let panics = (used as u64) * 100 < (all as u64) * u64::from(self.config.panic_percent);
        if panics {
            self.metrics.panics.one(worker.index);
        }
        panics
    }

    /// One of these endpoints, none of those `tried`, whose time is over and to whom nobody else is on the way.
    pub(super) fn to_probe(
        &self,
        endpoints: &[Arc<Endpoint>],
        tried: &[usize],
        worker: &Worker,
    ) -> Option<usize> {
        let now = worker.recent();
        if !self.ejector.may_probe(now) {
            return None;
        }
        let due = |at: &usize| !tried.contains(at) && self.ejector.take_probe(&endpoints[*at].standing, now);
        let found = (0..endpoints.len()).find(due);
        self.recount();
        found
    }

    /// An attempt at an endpoint has ended; `probe` as its pick said.
    pub fn hear(&self, worker: &Worker, now: Nanos, endpoint: &Endpoint, told: Told, probe: bool) {
        let standing = &endpoint.standing;
        let change = match told {
            Told::Good => self.ejector.succeeded(standing, probe, now),
            Told::Bad => self.ejector.failed(standing, self.endpoints.len(), probe, now, &mut Dice(worker)),
            Told::Nothing if probe => {
                self.ejector.give_probe_back(standing, now);
                None
            }
            Told::Nothing => None,
        };
        if let Some(change) = change {
            self.changed(worker, endpoint, change);
        }
    }

    /// The attempt that was picked is not made.
    pub fn forgo(&self, endpoint: &Endpoint, now: Nanos) {
        self.ejector.give_probe_back(&endpoint.standing, now);
    }

    /// Work that comes around every second: rates are compared, and numbers put right that another configuration's
    /// exchanges may have changed. Who was eased in for long enough is as the others.
    pub fn tend_health(&self, worker: &Worker) {
        if self.config.ejection.success_rate.is_some() {
            let standings: Vec<&Standing> =
                self.endpoints.iter().map(|endpoint| &endpoint.standing).collect();
            for (position, change) in self.ejector.compare(&standings, worker.now(), &mut Dice(worker)) {
                self.changed(worker, &self.endpoints[position], change);
            }
        }
        if let Some(slow_start) = &self.slow_start {
            let now = worker.now();
            self.endpoints.iter().for_each(|endpoint| _ = slow_start.look(&endpoint.standing, now));
        }
        self.recount();
    }

    /// What checks found of an endpoint. Says whether that is new.
    pub fn find(&self, endpoint: &Endpoint, healthy: bool, why: &str) -> bool {
        *endpoint.finding.lock().unwrap_or_else(PoisonError::into_inner) = why.into();
        let new = endpoint.standing.find(healthy);
        if new {
            self.recount();
        }
        new
    }

    /// Takes endpoints for what config says before anything is known of them: those that are new, and all if they
    /// are not checked any more. Who comes alone need not be eased in: there is nobody who could take more meanwhile.
    pub(super) fn presume(&self, is_new: impl Fn(usize) -> bool) {
        let some_stay = (0..self.endpoints.len()).any(|position| !is_new(position));
        for (position, endpoint) in self.endpoints.iter().enumerate() {
            let is_new = is_new(position);
            if is_new && some_stay {
                endpoint.standing.enter();
            }
            match &self.config.health {
                None => {
                    endpoint.standing.find(true);
                }
                Some(health) if health.initial == Initial::Unhealthy && is_new => {
                    endpoint.standing.find(false);
                }
                Some(_) => {}
            }
        }
        self.recount();
    }

    /// Counts anew who is out.
    pub fn recount(&self) {
        self.ejector.recount(self.endpoints.iter().map(|endpoint| &endpoint.standing));
        let out = self.endpoints.iter().filter(|endpoint| endpoint.standing.is_out()).count();
        let warms = self.slow_start.is_some() && self.endpoints.iter().any(|e| e.standing.is_new());
        self.care.store((out as u32).saturating_mul(2) | u32::from(warms), Relaxed);
        self.metrics.endpoints_out.set(SHARED, out as u64);
    }

    /// The part of its weight that an endpoint takes at this time, while it is eased in.
    pub fn part_of(&self, endpoint: &Endpoint, now: Nanos) -> Option<f64> {
        let part = self.slow_start.as_ref()?.part(&endpoint.standing, now);
        (part < 1.0).then_some(part)
    }

    #[cold]
    fn changed(&self, worker: &Worker, endpoint: &Endpoint, change: Change) {
        let (cluster, name) = (&**self.name(), &*endpoint.name);
        match change {
            Change::Ejected(reason, time) => {
                let (label, why) = label(reason);
                self.metrics.ejections.one(worker.index, label);
                let seconds = time.as_secs_f64();
                tracing::warn!(cluster, endpoint = name, why, seconds, "an endpoint is ejected");
            }
            Change::Returned => {
                self.metrics.returns.one(worker.index);
                tracing::info!(cluster, endpoint = name, "an endpoint is back");
            }
            Change::Spared => self.metrics.ejections_spared.one(worker.index),
        }
        if change != Change::Spared {
            self.recount();
        }
    }
}

/// How an ejection is counted, and told.
pub fn label(reason: Reason) -> (Ejected, &'static str) {
    match reason {
        Reason::Consecutive => (Ejected::Consecutive, "failures in a row"),
        Reason::SuccessRate => (Ejected::SuccessRate, "far fewer good answers than the others"),
        Reason::Probe => (Ejected::Probe, "it failed again when it was to come back"),
    }
}

/// The rules of config.
pub(super) fn ejector(config: &checked::Ejection) -> Ejector {
    Ejector::new(Rules {
        consecutive: config.consecutive_failures,
        time: config.time,
        most_time: config.most_time.max(Duration::from_millis(1)),
        most_percent: config.most_percent,
        success_rate: config.success_rate.as_ref().map(|rate| SuccessRate {
            interval: rate.interval,
            requests: rate.requests,
            endpoints: rate.endpoints,
            deviations: rate.deviations,
        }),
    })
}
