//! Connections: what the filters of a chain say of one before it is served.
//!
//! Nothing waits here and nothing is remembered: a connection is asked about once.

use std::{rc::Rc, sync::Arc};

use weir_runtime::{ConnectionView, HookSet, Verdict};

use super::{LocalFilter, Ruling};
use crate::{error::Failure, message::Home, telemetry::metrics::Hook, worker::Worker};

/// Bytes of a filter's reason that are logged.
const REASON: usize = 256;

/// A connection is to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// By whom.
    pub filter: Arc<str>,
    /// The filter's own words; without, it failed and config says that this denies.
    pub reason: Option<Box<str>>,
}

impl Refused {
    /// For the log.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(Failure::FilterFault.reason())
    }
}

/// Whether a filter of the chain wants to be asked about connections at all.
pub fn judges_connections(chain: &[Rc<LocalFilter>]) -> bool {
    chain.iter().any(|filter| filter.wants(HookSet::CONNECTION))
}

/// Asks every filter that wants to be asked, in order; the first that refuses ends it. Answers the cluster that was
/// named last.
pub fn judge_connection(
    worker: &Worker,
    chain: &[Rc<LocalFilter>],
    view: &ConnectionView<'_>,
) -> Result<Option<Home>, Refused> {
    let mut chosen = None;
    for filter in chain.iter().filter(|filter| filter.wants(HookSet::CONNECTION)) {
        match filter.on_connection(worker, view) {
            Ruling::Decided(Judged::Passes(cluster)) => chosen = cluster.or(chosen),
            Ruling::Decided(Judged::Refused(reason)) => {
                return Err(Refused { filter: Arc::clone(filter.plan.name()), reason: Some(reason) });
            }
            Ruling::Skipped => {}
            Ruling::Denied(_) => {
                return Err(Refused { filter: Arc::clone(filter.plan.name()), reason: None });
            }
        }
    }
    Ok(chosen)
}

/// A verdict that can be carried out.
enum Judged {
    Passes(Option<Home>),
    Refused(Box<str>),
}

impl LocalFilter {
    /// `on-connection`, asked of the generation before where this one fails and config wants that.
    fn on_connection(&self, worker: &Worker, view: &ConnectionView<'_>) -> Ruling<Judged> {
        let outcome = self.call(worker, Hook::Connection, |instance| instance.on_connection(view));
        let judged =
            outcome.and_then(|verdict| self.judged(verdict).map_err(|wrong| self.wrong(worker, wrong)));
        let before = self.last_good().filter(|before| before.wants(HookSet::CONNECTION));
        match (self.rule(judged), before) {
            (Ruling::Denied(_), Some(before)) => before.on_connection(worker, view),
            (ruling, _) => ruling,
        }
    }

    /// The error says why it cannot be carried out.
    fn judged(&self, verdict: Verdict) -> Result<Judged, &'static str> {
        let position = match verdict {
            Verdict::Pass(None) => return Ok(Judged::Passes(None)),
            Verdict::Pass(Some(position)) => position,
            Verdict::Refuse(mut reason) => {
                reason.truncate(reason.floor_char_boundary(REASON));
                return Ok(Judged::Refused(reason.into()));
            }
        };
        let granted = self.plan.granted(position)?;
        Ok(Judged::Passes(Some((granted.id, Arc::clone(&granted.name)))))
    }
}
