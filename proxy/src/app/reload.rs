//! Putting a change in force: everything that can fail is done before anything changes, so that any error
//! keeps the running configuration whole.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use serde::Serialize;
use weir_config::{Changes, Problem, differences};

use super::{App, Control};
use crate::{
    chain::FilterPlan,
    data::{self, Accepted},
    listener::worker::Command,
    reload::{Seen, files},
    snapshot::{Built, Snapshot},
    telemetry::{
        log,
        metrics::{Reload, SHARED},
    },
};

/// Sections that the process is built on.
const NEEDS_RESTART: [&str; 5] = ["admin", "workers", "cache", "restart", "access_log"];

/// What became of reading the configuration again.
#[derive(Debug, Serialize)]
pub struct Reloaded {
    /// `applied` or `unchanged`.
    pub result: &'static str,
    /// In force now.
    pub generation: u64,
    /// What config changed.
    pub changes: Changes,
    /// Filters of another version now: by config, or because their file changed.
    pub swapped: Vec<Arc<str>>,
    /// Data of filters whose files changed: `filters.NAME.data.NAME`.
    pub data: Vec<String>,
    /// Sections whose certificates changed.
    pub certificates: Vec<String>,
    /// Sections that changed since the start and come into force with a restart only.
    pub restart_needed: Vec<&'static str>,
    /// What works, but was likely not meant like this.
    pub warnings: Vec<Problem>,
}

/// What became of reading one filter's file again.
#[derive(Debug, Serialize)]
pub struct Swapped {
    /// `swapped` or `unchanged`.
    pub result: &'static str,
    /// The filter's, in force now.
    pub generation: u64,
}

/// All that keeps a change from coming into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// A line each, without lines of the file: these may hold secrets.
    pub problems: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl<E: ToString> From<&[E]> for Refused {
    fn from(errors: &[E]) -> Self {
        Self { problems: errors.iter().map(ToString::to_string).collect() }
    }
}

impl App {
    /// Reads the configuration and all its files again and applies what changed. Any error keeps the running
    /// one whole.
    pub fn reload(&self) -> Result<Reloaded, Refused> {
        let mut control = self.control();
        let mut seen = Seen::now([self.path.clone()]);
        let outcome = self.try_reload(&mut control, &mut seen);
        self.account(&control, &outcome, seen);
        self.reloaded.notify_one();
        outcome
    }

    fn try_reload(&self, control: &mut Control, seen: &mut Seen) -> Result<Reloaded, Refused> {
        self.refuse_when_draining()?;
        let config = weir_config::load(&self.path).map_err(|report| Refused::from(report.problems()))?;
        seen.look(files(&config));
        let before = self.shared.snapshot();
        let built = control.builder.build(config.clone(), Some(&before));
        let Built { snapshot, renewals, settled } = built.map_err(|errors| Refused::from(&*errors))?;
        let snapshot = Arc::new(snapshot);
        let news = self.new_data(&snapshot, &before)?;
        let changes = differences(&control.config, &config);
        let swapped = swapped(&before, &snapshot);
        let same = changes.is_empty() && swapped.is_empty() && same_clusters(&before, &snapshot);
        let warnings = config.warnings.clone();
        if !same {
            let bound = self.listening().bind(&snapshot);
            let bound = bound.map_err(|error| Refused { problems: vec![format!("{error:#}")] })?;
            log::set_level(config.log);
            control.builder.settle(settled, &config);
            self.put_in_force(snapshot);
            self.listening().apply(bound, &self.workers);
            control.config = config;
        }
        renewals.iter().for_each(|renewal| renewal.adopt());
        let data: Vec<_> = news.iter().map(ToString::to_string).collect();
        self.apply_data(news);
        Ok(Reloaded {
            result: if same && renewals.is_empty() && data.is_empty() { "unchanged" } else { "applied" },
            generation: self.shared.generation(),
            changes,
            swapped,
            data,
            certificates: renewals.iter().map(ToString::to_string).collect(),
            restart_needed: restart_needed(control),
            warnings,
        })
    }

    /// Counts a reload, logs it, and keeps what is told of it.
    fn account(&self, control: &Control, outcome: &Result<Reloaded, Refused>, mut seen: Seen) {
        // After a refusal, what runs and what should run are both worth watching.
        seen.look(files(&control.config));
        let label = match outcome {
            Ok(reloaded) if reloaded.result == "applied" => Reload::Applied,
            Ok(_) => Reload::Unchanged,
            Err(_) => Reload::Failed,
        };
        self.shared.metrics.process.config_reloads.one(SHARED, label);
        let mut status = self.status();
        status.seen = seen;
        match outcome {
            Ok(Reloaded { result, generation, warnings, restart_needed, .. }) => {
                tracing::info!(result, generation, "configuration read again");
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                if !restart_needed.is_empty() {
                    tracing::warn!(sections = ?restart_needed, "changed, and comes into force with a restart only");
                }
                status.generation = *generation;
                status.last_error = None;
                status.restart_needed.clone_from(restart_needed);
                status.listeners = self.listening().told();
            }
            Err(refused) => {
                for problem in &refused.problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("the new configuration is refused; the old one stays in force");
                status.last_error = Some(refused.problems.clone());
            }
        }
    }

    /// Reads the code of one filter again and swaps it if it changed. None: there is no such filter.
    pub fn swap_filter(&self, name: &str) -> Option<Result<Swapped, Refused>> {
        let mut control = self.control();
        let before = self.shared.snapshot();
        let generation = |snapshot: &Snapshot| {
            snapshot.filters.iter().find(|plan| **plan.name() == *name).map(|plan| plan.generation)
        };
        let old = generation(&before)?;
        if let Err(refused) = self.refuse_when_draining() {
            return Some(Err(refused));
        }
        Some(match control.builder.with_filter(name, &before) {
            Ok(None) => Ok(Swapped { result: "unchanged", generation: old }),
            Ok(Some(snapshot)) => {
                let generation = generation(&snapshot).unwrap_or(old);
                self.put_in_force(Arc::new(snapshot));
                self.status().generation = self.shared.generation();
                tracing::info!(filter = name, generation, "swapped");
                Ok(Swapped { result: "swapped", generation })
            }
            Err(error) => {
                tracing::error!("{error}; the version before stays in force");
                Err(Refused { problems: vec![error.to_string()] })
            }
        })
    }

    /// What filters have to be told besides: changed files, and data of addresses that are new.
    fn new_data(&self, snapshot: &Arc<Snapshot>, before: &Snapshot) -> Result<Vec<Accepted>, Refused> {
        data::first_fetch(snapshot, Some(before), &self.workers).map_err(|problems| Refused { problems })?;
        data::changed_files(snapshot).map_err(|problems| Refused { problems })
    }

    fn apply_data(&self, news: Vec<Accepted>) {
        if !news.is_empty() {
            news.into_iter().for_each(Accepted::apply);
            self.workers.iter().for_each(|worker| drop(worker.send(Command::Refresh)));
        }
    }

    fn put_in_force(&self, snapshot: Arc<Snapshot>) {
        let _one_at_a_time = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.shared.snapshot();
        // While it was built, endpoints may have changed.
        let snapshot = snapshot.with_endpoints().map_or(snapshot, Arc::new);
        self.shared.swap(Arc::clone(&snapshot));
        // Whoever reads that it is in force finds it so.
        self.shared.metrics.process.config_generation.set(SHARED, snapshot.generation);
        data::carry_over(&before, &snapshot);
        self.workers.iter().for_each(|worker| drop(worker.send(Command::Refresh)));
    }

    /// Puts in force what the sources of clusters tell of their endpoints, all of it at once. It does not wait for a
    /// reload that is under way.
    pub(super) fn take_endpoints(&self) {
        let _one_at_a_time = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = self.shared.snapshot().with_endpoints() else { return };
        self.shared.swap(Arc::new(next));
        self.workers.iter().for_each(|worker| drop(worker.send(Command::Refresh)));
    }

    fn refuse_when_draining(&self) -> Result<(), Refused> {
        if self.is_draining() {
            Err(Refused { problems: vec!["the proxy is draining".to_owned()] })
        } else {
            Ok(())
        }
    }
}

/// Filters that were not taken over, new ones included.
fn swapped(before: &Snapshot, now: &Snapshot) -> Vec<Arc<str>> {
    let kept = |plan: &Arc<FilterPlan>| before.filters.iter().any(|old| Arc::ptr_eq(old, plan));
    now.filters.iter().filter(|plan| !kept(plan)).map(|plan| Arc::clone(plan.name())).collect()
}

/// Names of endpoints may lead elsewhere although config is the same.
fn same_clusters(before: &Snapshot, now: &Snapshot) -> bool {
    let (old, new) = (before.clusters.iter().flatten(), now.clusters.iter().flatten());
    old.zip(new).all(|(old, new)| Arc::ptr_eq(old, new))
}

fn restart_needed(control: &Control) -> Vec<&'static str> {
    let changed = differences(&control.started, &control.config).process;
    NEEDS_RESTART.into_iter().filter(|section| changed.contains(section)).collect()
}
