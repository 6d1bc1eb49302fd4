//! [`Attempt`]: an endpoint's use from its pick to its end, whatever is spoken there. Here the balancer, the statistics,
//! the metrics and whoever ejects are told of it, so that all who use endpoints tell the same.

use std::time::Duration;

use weir_balance::Ended;

use super::{Cluster, Endpoint, Picked, Told};
use crate::{clock::Nanos, telemetry::metrics::Attempted, worker::Worker};

/// An attempt under way.
pub struct Attempt<'a> {
    worker: &'a Worker,
    cluster: &'a Cluster,
    endpoint: &'a Endpoint,
    /// It tells whether the endpoint comes back.
    probe: bool,
    begun: Nanos,
}

impl<'a> Attempt<'a> {
    /// One that begins at the worker's most recent time.
    pub fn begin(worker: &'a Worker, cluster: &'a Cluster, picked: &Picked<'a>) -> Self {
        let (endpoint, probe) = (&**picked.endpoint, picked.probe);
        endpoint.load.begin();
        Self { worker, cluster, endpoint, probe, begun: worker.recent() }
    }

    /// How long it has taken so far.
    pub fn took(&self) -> Nanos {
        self.worker.now().saturating_sub(self.begun)
    }

    /// It is over, which is to be said once. None: it was given up on this side.
    pub fn end(&self, ended: Option<Ended>, told: Told) {
        let now = self.worker.now();
        let after = Duration::from_nanos(now.saturating_sub(self.begun));
        let ended = ended.unwrap_or(Ended::Cancelled { after });
        self.endpoint.load.end(now, ended);
        let result = match ended {
            Ended::Answered { .. } | Ended::Refused { .. } => Attempted::Answered,
            Ended::Failed => Attempted::Failed,
            Ended::Cancelled { .. } => Attempted::Abandoned,
        };
        if result != Attempted::Abandoned {
            self.endpoint.count(result == Attempted::Answered);
        }
        self.cluster.metrics.attempts.one(self.worker.index, result);
        self.cluster.hear(self.worker, now, self.endpoint, told, self.probe);
    }
}
