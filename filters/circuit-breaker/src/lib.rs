//! Stops asking a cluster that fails, and finds out when it is back.
//!
//! Closed, every exchange passes and its outcome is counted. When too many fail the breaker opens:
//! exchanges are answered, or sent elsewhere, at once. After a while that doubles each time, one real
//! request is let through; if it goes well the breaker closes, else it stays open longer.
//!
//! All workers share the `state` (one number) and the `window` of counts. `verdict` says what counts as
//! a failure, `fallback` what callers get meanwhile.

mod config;
mod fallback;
mod state;
mod verdict;
mod window;

use weir_sdk::state::Cell;
use weir_sdk::{
    Cluster, Condition, Decision, Metric, Outcome, Policy, Ready, Request, Setup, now_ms, random,
};

pub use config::Config;
use config::OpenAt;
use fallback::Fallback;
use state::{Phase, State};
use verdict::{Failures, Verdict};
use window::{Totals, Window};

/// The filter.
pub struct CircuitBreaker {
    cluster: Cluster,
    state: Cell,
    /// What is answered as long as the state is this one, closed.
    closed_in: Option<(i64, Ready)>,
    window: Window,
    failures: Failures,
    fallback: Fallback,
    open_at: OpenAt,
    open_ms: u64,
    open_at_most_ms: u64,
    probe_ms: u64,
    opened: Metric,
    closed: Metric,
    rejected: Metric,
    probes: Metric,
}

#[weir_sdk::filter]
impl Policy for CircuitBreaker {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        config.check()?;
        setup.when(Condition::equals("@route.cluster", config.cluster.clone()));
        let cells = format!("breaker/{}", config.cluster);
        Ok(CircuitBreaker {
            cluster: setup.cluster(config.cluster.clone()),
            state: Cell::named(&format!("{cells}/state")),
            closed_in: None,
            window: Window::new(&format!("{cells}/window"), config.open_at.within.as_millis()),
            failures: Failures::new(&config.failures)?,
            fallback: Fallback::new(&config, setup)?,
            open_ms: config.open_for.as_millis(),
            open_at_most_ms: config.open_at_most.as_millis(),
            probe_ms: config.probe_timeout.as_millis(),
            open_at: config.open_at,
            opened: Metric::named("breaker_opened", "Times a circuit breaker opened."),
            closed: Metric::named("breaker_closed", "Times a circuit breaker closed."),
            rejected: Metric::named("breaker_rejected", "Exchanges kept from a cluster by an open breaker."),
            probes: Metric::named(
                "breaker_probes",
                "Exchanges let through to find out whether a cluster is back.",
            ),
        })
    }

    /// The memo is the state under which an exchange passed.
    fn on_request(&mut self, _: &Request<'_>) -> Decision {
        let packed = self.state.load();
        match State::unpack(packed).phase {
            Phase::Closed => self.pass(packed),
            Phase::Open { openings, until_ms } | Phase::Probing { openings, until_ms } => {
                self.reject_or_probe(packed, openings, until_ms)
            }
        }
    }

    fn on_complete(&mut self, outcome: &Outcome) {
        let began = outcome.memo as i64;
        let verdict = match outcome.cluster == Some(self.cluster) {
            true => self.failures.judge(outcome),
            false => Verdict::Nothing,
        };
        match (State::unpack(began).phase, verdict) {
            (Phase::Closed, Verdict::Success) => self.window.succeeded(outcome.now_ms),
            (Phase::Closed, Verdict::Failure) => self.count_failure(began, outcome.now_ms),
            (Phase::Probing { openings, .. }, verdict) => {
                self.conclude(began, openings, verdict, outcome.now_ms);
            }
            // Sent elsewhere while the breaker was open, or nothing was learned.
            (Phase::Open { .. }, _) | (Phase::Closed, Verdict::Nothing) => {}
        }
    }
}

impl CircuitBreaker {
    /// The state stays the same for long while it is closed, so that the decision is made once.
    fn pass(&mut self, packed: i64) -> Decision {
        match &self.closed_in {
            Some((state, passing)) if *state == packed => passing.into(),
            _ => {
                let passing = Ready::new(Decision::pass().memo(packed as u64));
                let decision = (&passing).into();
                self.closed_in = Some((packed, passing));
                decision
            }
        }
    }

    /// Before `until_ms` the breaker holds (or waits for its probe); after, whoever changes the state
    /// first is the probe. A probe that was lost is followed by another.
    fn reject_or_probe(&mut self, packed: i64, openings: u32, until_ms: u64) -> Decision {
        let now = now_ms();
        if now >= until_ms {
            let until_ms = now.saturating_add(self.probe_ms);
            let probing = State::unpack(packed).with(Phase::Probing { openings, until_ms }).pack();
            if self.state.compare_exchange(packed, probing).is_ok() {
                self.probes.increment();
                return Decision::pass().memo(probing as u64).into();
            }
        }
        self.rejected.increment();
        match self.fallback.decide(until_ms.saturating_sub(now)) {
            Decision::Pass(passage) => passage.memo(packed as u64).into(),
            decision => decision,
        }
    }

    /// What began before the breaker last opened or closed says nothing about now: `began` must still
    /// be the state.
    fn count_failure(&mut self, began: i64, now_ms: u64) {
        if self.state.load() != began {
            return;
        }
        let totals = self.window.failed(now_ms);
        if !self.too_many(totals) {
            return;
        }
        if self.open(began, 1, now_ms) {
            let Totals { requests, failures, in_a_row } = totals;
            weir_sdk::warn!("opened: {failures} of {requests} failed, {in_a_row} in a row");
        }
    }

    fn too_many(&self, totals: Totals) -> bool {
        let in_a_row = self.open_at.in_a_row > 0 && totals.in_a_row >= self.open_at.in_a_row;
        let share = totals.failures as f64 >= self.open_at.failures * totals.requests as f64;
        in_a_row || (totals.requests >= self.open_at.of && share)
    }

    /// A probe came back.
    fn conclude(&mut self, probing: i64, openings: u32, verdict: Verdict, now_ms: u64) {
        let state = State::unpack(probing);
        match verdict {
            Verdict::Failure => {
                self.open(probing, openings.saturating_add(1), now_ms);
            }
            Verdict::Success => {
                // Cleared first: once closed, other workers count.
                self.window.clear();
                if self.state.compare_exchange(probing, state.closed().pack()).is_ok() {
                    self.closed.increment();
                    weir_sdk::info!("closed");
                }
            }
            Verdict::Nothing => {
                // The next request is the probe; if the state has changed, another is already.
                let open = state.with(Phase::Open { openings, until_ms: now_ms });
                let _ = self.state.compare_exchange(probing, open.pack());
            }
        }
    }

    /// Opens, if nobody changed the state meanwhile.
    fn open(&mut self, from: i64, openings: u32, now_ms: u64) -> bool {
        let until_ms = now_ms.saturating_add(self.open_time(openings));
        let open = State::unpack(from).with(Phase::Open { openings, until_ms });
        let opened = self.state.compare_exchange(from, open.pack()).is_ok();
        if opened {
            self.opened.increment();
        }
        opened
    }

    /// Doubles with each opening in a row; a fifth of it is jitter, so that many proxies do not probe at
    /// once.
    fn open_time(&self, openings: u32) -> u64 {
        let doubled = self.open_ms.saturating_mul(1 << openings.saturating_sub(1).min(31));
        let time = doubled.min(self.open_at_most_ms);
        let spread = time / 5;
        time - spread + random() % (spread + 1)
    }
}
