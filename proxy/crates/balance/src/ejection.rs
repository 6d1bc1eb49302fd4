//! Passive health: endpoints whose answers are bad are not used for a while, and come back through one real request.
//!
//! What is counted are failures in a row, as they happen, and where wanted how many of an endpoint's answers are good
//! compared with the others' (Envoy's outlier detection, by consecutive failures and by success rate). An ejection
//! takes longer each time it is repeated; ejections that lie back are forgotten one by one. However bad all are, only
//! a part may go: an overload must not be made worse by sending all of it to the last one.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{Nanos, Random, Reason, Standing};

/// When endpoints are ejected, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Failures in a row; 0: they are not counted.
    pub consecutive: u32,
    /// The first ejection, and what each one after it takes longer.
    pub time: Duration,
    /// No ejection takes longer.
    pub most_time: Duration,
    /// How many may be out at a time, percent; one may always, except the only one.
    pub most_percent: u32,
    /// Compare success rates too.
    pub success_rate: Option<SuccessRate>,
}

/// When an endpoint's rate of good answers is too low.
#[derive(Debug, Clone, PartialEq)]
pub struct SuccessRate {
    /// From one comparison to the next.
    pub interval: Duration,
    /// Answers that an endpoint must have given meanwhile to be compared.
    pub requests: u32,
    /// Endpoints that must be comparable.
    pub endpoints: u32,
    /// How far below the mean, in standard deviations.
    pub deviations: f64,
}

/// What became of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is out, for so long.
    Ejected(Reason, Duration),
    /// It would be, but as many are out as may be.
    Spared,
    /// It is back.
    Returned,
}

/// The ejections of one list of endpoints. Shared by all workers.
#[derive(Debug)]
pub struct Ejector {
    rules: Rules,
    ejected: AtomicU32,
    /// When the first of those that are out may be probed.
    next_probe: AtomicU64,
    next_comparison: AtomicU64,
}

impl Ejector {
    /// Nobody is out.
    pub fn new(rules: Rules) -> Self {
        let (ejected, next_probe) = (AtomicU32::new(0), AtomicU64::new(Nanos::MAX));
        Self { rules, ejected, next_probe, next_comparison: AtomicU64::new(0) }
    }

    /// An endpoint answered well; `probe` as [`take_probe`](Self::take_probe) said.
    pub fn succeeded(&self, standing: &Standing, probe: bool, now: Nanos) -> Option<Change> {
        if self.rules.success_rate.is_some() {
            standing.good.fetch_add(1, Relaxed);
        }
        if standing.failures.load(Relaxed) != 0 {
            standing.failures.store(0, Relaxed);
        }
        if !probe || !standing.readmit() {
            return None;
        }
        self.leave();
        standing.until.store(now, Relaxed);
        Some(Change::Returned)
    }

    /// An endpoint, one of so many, did not answer, or not well.
    pub fn failed(
        &self,
        standing: &Standing,
        endpoints: usize,
        probe: bool,
        now: Nanos,
        random: &mut impl Random,
    ) -> Option<Change> {
        if self.rules.success_rate.is_some() {
            standing.bad.fetch_add(1, Relaxed);
        }
        if probe {
            let time = self.sentence(standing, now, random);
            standing.extend();
            return Some(Change::Ejected(Reason::Probe, time));
        }
        let failures = standing.failures.fetch_add(1, Relaxed).saturating_add(1);
        let enough = self.rules.consecutive != 0 && failures >= self.rules.consecutive;
        if !enough || standing.is_ejected() {
            return None;
        }
        self.eject(standing, endpoints, Reason::Consecutive, now, random)
    }

    /// Whether one of those that are out may be probed.
    pub fn may_probe(&self, now: Nanos) -> bool {
        now >= self.next_probe.load(Relaxed)
    }

    /// Takes the one request that an ejected endpoint gets when its time is over. Each success is followed by
    /// [`succeeded`](Self::succeeded), [`failed`](Self::failed) or [`give_probe_back`](Self::give_probe_back).
    pub fn take_probe(&self, standing: &Standing, now: Nanos) -> bool {
        standing.until.load(Relaxed) <= now && standing.take_probe()
    }

    /// The probe was given up without telling anything.
    pub fn give_probe_back(&self, standing: &Standing, now: Nanos) {
        standing.give_probe_back();
        self.next_probe.fetch_min(now, Relaxed);
    }

    /// Puts the numbers right that are kept of all `standings`. To be called now and then, and when the list is
    /// made: an endpoint may be in several, and what happened in one of them is unknown to the others.
    pub fn recount<'a>(&self, standings: impl Iterator<Item = &'a Standing>) {
        let (mut ejected, mut next) = (0, Nanos::MAX);
        for standing in standings.filter(|standing| standing.is_ejected()) {
            ejected += 1;
            if standing.may_be_probed() {
                next = next.min(standing.until.load(Relaxed));
            }
        }
        self.ejected.store(ejected, Relaxed);
        self.next_probe.store(next, Relaxed);
    }

    /// Compares success rates, if that is wanted and it is time. Tells what became of which endpoints.
    pub fn compare(
        &self,
        standings: &[&Standing],
        now: Nanos,
        random: &mut impl Random,
    ) -> Vec<(usize, Change)> {
        let Some(rule) = &self.rules.success_rate else { return Vec::new() };
        let due = self.next_comparison.load(Relaxed);
        let next = now.saturating_add(nanos(rule.interval));
        if now < due || self.next_comparison.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return Vec::new();
        }
        let mut rates = Vec::new();
        for (position, standing) in standings.iter().enumerate() {
            let (good, bad) = (standing.good.swap(0, Relaxed), standing.bad.swap(0, Relaxed));
            let all = good.saturating_add(bad);
            // The first look only begins to count.
            if due != 0 && all >= rule.requests.max(1) && !standing.is_out() {
                rates.push((position, f64::from(good) / f64::from(all)));
            }
        }
        if rates.len() < rule.endpoints as usize {
            return Vec::new();
        }
        let least = threshold(&rates, rule.deviations);
        let low = rates.into_iter().filter(|(_, rate)| *rate < least);
        let eject = |(position, _): (usize, f64)| {
            let change = self.eject(standings[position], standings.len(), Reason::SuccessRate, now, random);
            Some((position, change?))
        };
        low.filter_map(eject).collect()
    }

    fn eject(
        &self,
        standing: &Standing,
        endpoints: usize,
        reason: Reason,
        now: Nanos,
        random: &mut impl Random,
    ) -> Option<Change> {
        let most = match endpoints {
            0 | 1 => 0,
            more => (more as u64 * u64::from(self.rules.most_percent) / 100).clamp(1, more as u64 - 1) as u32,
        };
        let entered = self.ejected.fetch_update(Relaxed, Relaxed, |out| (out < most).then_some(out + 1));
        if entered.is_err() {
            return Some(Change::Spared);
        }
        if !standing.eject(reason) {
            self.leave();
            return None;
        }
        Some(Change::Ejected(reason, self.sentence(standing, now, random)))
    }

    /// Sets for how long an endpoint is out.
    fn sentence(&self, standing: &Standing, now: Nanos, random: &mut impl Random) -> Duration {
        let step = nanos(self.rules.time).max(1);
        // Each time without an ejection, as long as the first takes, makes one be forgotten.
        let since = now.saturating_sub(standing.until.load(Relaxed));
        let forgotten = u32::try_from(since / step).unwrap_or(u32::MAX);
        let number = standing.ejections.load(Relaxed).saturating_sub(forgotten).saturating_add(1);
        standing.ejections.store(number, Relaxed);
        standing.failures.store(0, Relaxed);
        let whole = step.saturating_mul(u64::from(number)).min(nanos(self.rules.most_time));
        // Those that went together do not come back together.
        let time = whole - random.below(whole / 10 + 1);
        let until = now.saturating_add(time);
        standing.until.store(until, Relaxed);
        self.next_probe.fetch_min(until, Relaxed);
        Duration::from_nanos(time)
    }

    fn leave(&self) {
        // Cannot fail: the closure always gives a value.
        let _ = self.ejected.fetch_update(Relaxed, Relaxed, |out| Some(out.saturating_sub(1)));
    }
}

/// So many standard deviations below the mean.
fn threshold(rates: &[(usize, f64)], deviations: f64) -> f64 {
    let number = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / number;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / number;
    mean - deviations * variance.sqrt()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "ejection_tests.rs"]
mod tests;
