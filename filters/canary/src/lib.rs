//! Splits a cluster's traffic between versions, and takes a bad one back.
//!
//! An exchange of the cluster gets the label of one version: forced by the caller (`force`), the same
//! for the same caller (`sticky`), or at random, by shares (`shares`) that may follow a schedule
//! (`rollout`) and fall to nothing for the candidate when it does worse than the others (`stop`,
//! `window`). What all workers must agree on lies in the proxy's shared state.

mod config;
mod rollout;
mod shares;
mod sticky;
mod stop;
mod window;

use std::time::Duration;

use weir_sdk::{
    Condition, Decision, Field, Hooks, Outcome, Passage, Policy, Ready, Request, Response, Setup, Text,
};

pub use config::Config;

use crate::rollout::Rollout;
use crate::shares::{Shares, seed};
use crate::sticky::{Found, Sticky};
use crate::stop::Stop;

/// A stop is to be seen by every worker within this time, remembered decisions or not.
const STOP_DELAY: Duration = Duration::from_secs(1);

/// The filter.
pub struct Canary {
    versions: Vec<Version>,
    candidate: usize,
    /// As config weighs the versions.
    configured: Shares,
    /// As they are at the moment.
    current: Shares,
    force: Option<Field>,
    sticky: Option<Sticky>,
    /// Shown if no caller sticks to anything.
    random: Option<Field>,
    /// Shown with `random`, if the shares follow a schedule.
    time: Option<Field>,
    rollout: Option<Rollout>,
    stop: Option<Stop>,
    remember: Duration,
}

struct Version {
    label: Text,
    seed: u64,
    /// What its exchanges get, but for what their later hooks must know.
    passage: Passage,
    /// For callers who stick, as long as the shares hold.
    kept: Ready,
    /// For a choice by chance.
    drawn: Ready,
}

impl Version {
    /// The version at this place of the config.
    fn new(at: usize, config: &Config) -> Self {
        let label = shared(&config.versions[at].label);
        let mut passage = Decision::pass().subset(shared(&config.label), &label);
        if let Some(fact) = &config.fact {
            passage = passage.fact(shared(fact), &label);
        }
        let drawn = passage.clone().memo(memo(at, 0));
        Version {
            seed: seed(&config.cluster, &label),
            kept: Ready::new(drawn.clone().keep(config.remember.0)),
            drawn: Ready::new(drawn),
            label,
            passage,
        }
    }
}

#[weir_sdk::filter]
impl Policy for Canary {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        config.check()?;
        let candidate = config.candidate()?;
        let configured = Shares::new(config.versions.iter().map(config::VersionConfig::weight));
        // Names the state of this candidate: another one begins anew.
        let name = format!("{}/{}/{}", config.cluster, config.versions[candidate].label, config.generation);
        let cluster = setup.cluster(config.cluster.clone());
        setup.when(Condition::equals("@route.cluster", config.cluster.clone()));
        let sticky = config.sticky.as_ref().map(|sticky| Sticky::new(sticky, setup)).transpose()?;
        let staged = !config.stages.is_empty();
        if !sticky.as_ref().is_some_and(Sticky::sets_cookie) {
            setup.without(Hooks::RESPONSE);
        }
        if config.stop.is_none() {
            setup.without(Hooks::COMPLETE);
        }
        Ok(Canary {
            versions: (0..config.versions.len()).map(|at| Version::new(at, &config)).collect(),
            candidate,
            current: configured.clone(),
            configured,
            force: config.force.as_ref().map(|force| setup.request(force.header.to_ascii_lowercase())),
            random: sticky.is_none().then(|| setup.request("@random")),
            time: (sticky.is_none() && staged).then(|| setup.request("@time.ms")),
            sticky,
            rollout: staged.then(|| Rollout::new(&config, &name)),
            stop: config.stop.as_ref().map(|stop| Stop::new(stop, cluster, &name)),
            remember: config.remember.0,
        })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        if let Some(forced) = self.forced(request) {
            return self.versions[forced].passage.clone().keep(self.remember).into();
        }
        let holds = self.follow(request);
        let (chosen, found) = match &self.sticky {
            Some(sticky) => {
                let found = sticky.find(request);
                (self.current.by_key(found.hash(), self.versions.iter().map(|version| version.seed)), found)
            }
            None => (self.current.by_point(self.shown(request, self.random)), Found::Random(0)),
        };
        let version = &self.versions[chosen];
        match found {
            Found::Caller(_) if holds == self.remember => (&version.kept).into(),
            Found::Caller(_) => version.passage.clone().memo(memo(chosen, 0)).keep(holds).into(),
            Found::Random(_) => (&version.drawn).into(),
            Found::Newcomer(id) => version.passage.clone().memo(memo(chosen, id)).into(),
        }
    }

    fn on_response(&mut self, response: &Response<'_>) -> Decision {
        let passage = Decision::pass().memo(response.memo());
        match (&self.sticky, newcomer(response.memo())) {
            (Some(sticky), Some(id)) => {
                let encrypted = response.value(":scheme").as_deref() == Some(b"https");
                passage.append("set-cookie", sticky.cookie(id, encrypted)).into()
            }
            _ => passage.into(),
        }
    }

    fn on_complete(&mut self, outcome: &Outcome) {
        if let (Some(stop), Some(version)) = (&mut self.stop, version(outcome.memo)) {
            stop.observe(outcome, version == self.candidate, self.current.of(self.candidate));
        }
    }
}

impl Canary {
    /// The version the caller asks for by name.
    fn forced(&self, request: &Request<'_>) -> Option<usize> {
        let name = request.text(self.force?)?;
        self.versions.iter().position(|version| &*version.label == name)
    }

    /// Brings the shares up to date. Returns how long they hold.
    fn follow(&mut self, request: &Request<'_>) -> Duration {
        if self.rollout.is_none() && self.stop.is_none() {
            return self.remember;
        }
        if self.stop.as_ref().is_some_and(Stop::is_stopped) {
            self.share(0.0);
            return self.remember.min(STOP_DELAY);
        }
        let mut holds = self.remember;
        if let Some(rollout) = &mut self.rollout {
            let now_ms = match self.time {
                Some(time) => request.number(time).unwrap_or_default(),
                None => weir_sdk::now_ms(),
            };
            let (share, next_ms) = rollout.follow(now_ms);
            holds = holds.min(Duration::from_millis(next_ms.saturating_sub(now_ms)));
            self.share(share);
        }
        if self.stop.is_some() { holds.min(STOP_DELAY) } else { holds }
    }

    /// Gives the candidate this share.
    fn share(&mut self, share: f64) {
        if self.current.of(self.candidate) != share {
            self.current = self.configured.with(self.candidate, share);
        }
    }

    fn shown(&self, request: &Request<'_>, field: Option<Field>) -> u64 {
        field.and_then(|field| request.number(field)).unwrap_or_default()
    }
}

fn shared(text: &str) -> Text {
    Text::Shared(text.into())
}

/// What the later hooks must know: the version, and the id of a caller who gets a cookie. A version
/// that was forced is left out (0): those who test do not count.
fn memo(version: usize, newcomer: u64) -> u64 {
    newcomer << 8 | (version as u64 + 1)
}

fn version(memo: u64) -> Option<usize> {
    (memo as u8).checked_sub(1).map(usize::from)
}

fn newcomer(memo: u64) -> Option<u64> {
    Some(memo >> 8).filter(|id| *id > 0)
}
