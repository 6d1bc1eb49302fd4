//! [`Choice`]: a pick among endpoints of which some are out. It stands apart from the ordinary pick, which does not
//! look at the health of any.

use std::sync::Arc;

use weir_balance::Picker;

use super::{Cluster, Endpoint};
use crate::worker::{Dice, Worker};

/// Endpoints to choose among: all of a cluster, or a subset.
pub(super) struct Choice<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) picker: &'a Picker,
    pub(super) endpoints: &'a [Arc<Endpoint>],
    /// Positions among them not to choose again unless there is no other.
    pub(super) tried: &'a [usize],
}

impl Choice<'_> {
    /// A position, and whether it is for a probe.
    pub(super) fn pick(&self, worker: &Worker, hash: Option<u64>) -> Option<(usize, bool)> {
        if let Some(index) = self.to_probe(worker) {
            return Some((index, true));
        }
        let out = self.endpoints.iter().filter(|endpoint| endpoint.standing.is_out()).count();
        let all = self.endpoints.len();
        let panics = self.cluster.panics(all - out, all);
        if panics {
            self.cluster.metrics.panics.one(worker.index);
        }
        let is_out = |index: usize| !panics && self.endpoints[index].standing.is_out();
        let now = worker.recent();
        let pick = |skip: &dyn Fn(usize) -> bool| {
            self.picker.pick_unless(self.endpoints, now, &mut Dice(worker), hash, skip)
        };
        // One that failed just now is better than one that is out, and that is better than none.
        let index = pick(&|index| self.tried.contains(&index) || is_out(index))
            .or_else(|| pick(&is_out))
            .or_else(|| pick(&|index| self.tried.contains(&index)))
            .or_else(|| pick(&|_| false));
        index.map(|index| (index, false))
    }

    /// One whose time is over, and to whom nobody else is on the way.
    pub(super) fn to_probe(&self, worker: &Worker) -> Option<usize> {
        let (ejector, now) = (&self.cluster.ejector, worker.recent());
        if !ejector.may_probe(now) {
            return None;
        }
        let due = |index: &usize| {
            !self.tried.contains(index) && ejector.take_probe(&self.endpoints[*index].standing, now)
        };
        let found = (0..self.endpoints.len()).find(due);
        self.cluster.recount();
        found
    }
}
