//! [`Choice`]: a pick among endpoints of which some are out, or are eased in. It stands apart from the ordinary pick,
//! which does not look at the health of any.

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
    /// So few are left that it is better to use all.
    pub(super) panics: bool,
}

impl Choice<'_> {
    /// A position.
    pub(super) fn pick(&self, worker: &Worker, hash: Option<u64>) -> Option<usize> {
        let is_out = |index: usize| !self.panics && self.endpoints[index].standing.is_out();
        let now = worker.recent();
        let pick = |skip: &dyn Fn(usize) -> bool| {
            let (picker, endpoints, dice) = (self.picker, self.endpoints, &mut Dice(worker));
            match &self.cluster.slow_start {
                None => picker.pick_unless(endpoints, now, dice, hash, skip),
                Some(slow_start) => {
                    let part = |index: usize| slow_start.part(&endpoints[index].standing, now);
                    picker.pick_by_part(endpoints, now, dice, hash, skip, part)
                }
            }
        };
        // One that failed just now is better than one that is out, and that is better than none.
        pick(&|index| self.tried.contains(&index) || is_out(index))
            .or_else(|| pick(&is_out))
            .or_else(|| pick(&|index| self.tried.contains(&index)))
            .or_else(|| pick(&|_| false))
    }
}
