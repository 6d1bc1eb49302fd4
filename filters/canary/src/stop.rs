//! Takes the candidate's share away when it does worse than the others by a margin.

use weir_sdk::state::Cell;
use weir_sdk::{Cluster, Metric, Outcome};

use crate::config::StopConfig;
use crate::shares::hash;
use crate::window::{Totals, Window};

/// A worker looks at the numbers so often at the outside.
const JUDGE_EVERY_MS: u64 = 250;

pub(crate) struct Stop {
    cluster: Cluster,
    candidate: Window,
    others: Window,
    min_requests: u64,
    failures_above: f64,
    latency_ratio: Option<f64>,
    /// When it was stopped, Unix time in ms; 0: it is not.
    stopped: Cell,
    stops: Metric,
    judged_ms: u64,
}

impl Stop {
    pub(crate) fn new(config: &StopConfig, cluster: Cluster, name: &str) -> Self {
        let window_ms = config.window.as_millis();
        let window = |who| Window::new(who, window_ms, hash(format!("{name}/{window_ms}").as_bytes()));
        Stop {
            cluster,
            candidate: window("candidate"),
            others: window("others"),
            min_requests: config.min_requests,
            failures_above: config.failures_above,
            latency_ratio: config.latency_ratio,
            stopped: Cell::named(&format!("{name}/stopped")),
            stops: Metric::named("canary_stops", "Times a candidate was stopped for doing worse."),
            judged_ms: 0,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load() != 0
    }

    /// An exchange of the candidate, or of another version, is over.
    pub(crate) fn observe(&mut self, outcome: &Outcome, of_candidate: bool, share: f64) {
        let Some(failed) = self.verdict(outcome) else { return };
        let window = if of_candidate { &self.candidate } else { &self.others };
        window.add(outcome.now_ms, failed, outcome.upstream_us);
        if of_candidate && outcome.now_ms >= self.judged_ms.saturating_add(JUDGE_EVERY_MS) {
            self.judged_ms = outcome.now_ms;
            self.judge(outcome.now_ms, share);
        }
    }

    /// Whether the exchange failed; none if it says nothing about the version: it did not reach an
    /// endpoint of the cluster, or was broken off, which callers do as well.
    fn verdict(&self, outcome: &Outcome) -> Option<bool> {
        if outcome.attempts == 0 || outcome.status == 0 || outcome.cluster != Some(self.cluster) {
            return None;
        }
        match outcome.status {
            500.. => Some(true),
            _ if outcome.aborted => None,
            _ => Some(false),
        }
    }

    fn judge(&self, now_ms: u64, share: f64) {
        let (candidate, others) = (self.candidate.totals(now_ms), self.others.totals(now_ms));
        let Some(why) = self.worse(candidate, others) else { return };
        let stopped_ms = i64::try_from(now_ms.max(1)).unwrap_or(i64::MAX);
        // One worker stops it and says so; the others find it stopped.
        if self.stopped.compare_exchange(0, stopped_ms).is_ok() {
            self.stops.increment();
            let percent = share * 100.0;
            weir_sdk::warn!("the candidate is stopped at {percent} % of the traffic: {why}");
        }
    }

    /// In what the candidate is worse than the others, if it is. With few of the others to compare it
    /// with, failures are held against what there is, and latency is not.
    fn worse(&self, candidate: Totals, others: Totals) -> Option<String> {
        if candidate.requests < self.min_requests {
            return None;
        }
        let (rate, usual) = (candidate.failure_rate(), others.failure_rate());
        if rate > usual + self.failures_above {
            return Some(format!(
                "{:.1} % of {} requests failed, of the others {:.1} % of {}",
                rate * 100.0,
                candidate.requests,
                usual * 100.0,
                others.requests
            ));
        }
        let enough = candidate.successes().min(others.successes()) >= self.min_requests;
        let (latency, usual) = (candidate.latency_ms(), others.latency_ms());
        if enough && self.latency_ratio.is_some_and(|ratio| latency > usual * ratio) {
            return Some(format!("{latency:.1} ms to answer, the others {usual:.1} ms"));
        }
        None
    }
}
