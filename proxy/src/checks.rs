//! Active health: endpoints are asked again and again whether they are well.
//!
//! The control thread says when and keeps count; some worker asks, since connections are the workers' matter. One
//! worker for each endpoint: an endpoint is not asked more often because there are more of them.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use weir_balance::{Random, Wyrand};
use weir_config::checked::Health;

use crate::{
    cluster::{Cluster, Endpoint},
    listener::worker::{Checkup, Command},
    snapshot::Shared,
    telemetry::metrics::{Checked, SHARED},
};

/// One endpoint that is asked.
struct Asked {
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
    task: JoinHandle<()>,
}

/// Checks the endpoints of all clusters that say so, for as long as the process runs.
pub async fn keep_checking(shared: Arc<Shared>, workers: Vec<mpsc::UnboundedSender<Command>>) {
    let mut swapped = shared.swapped.subscribe();
    let mut asked: Vec<Asked> = Vec::new();
    loop {
        let snapshot = shared.snapshot();
        let clusters = || snapshot.clusters.iter().flatten();
        asked.retain(|one| {
            let stays = clusters().any(|cluster| Arc::ptr_eq(cluster, &one.cluster));
            if !stays {
                one.task.abort();
            }
            stays
        });
        for cluster in clusters() {
            let Some(health) = &cluster.config.health else { continue };
            if asked.iter().any(|one| Arc::ptr_eq(&one.cluster, cluster)) {
                continue;
            }
            for endpoint in &cluster.endpoints {
                let place = RandomState::new().hash_one(&endpoint.name);
                let Some(worker) = workers.get(place as usize % workers.len().max(1)) else { continue };
                let examiner = Examiner {
                    cluster: Arc::clone(cluster),
                    endpoint: Arc::clone(endpoint),
                    health: health.clone(),
                    worker: worker.clone(),
                    random: Wyrand::new(place),
                };
                let (cluster, endpoint) = (Arc::clone(cluster), Arc::clone(endpoint));
                asked.push(Asked { cluster, endpoint, task: tokio::spawn(examiner.run()) });
            }
        }
        drop(snapshot);
        if swapped.changed().await.is_err() {
            return;
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        tracing::debug!(
            cluster = &**self.cluster.name(),
            endpoint = &*self.endpoint.name,
            "no longer checked"
        );
    }
}

/// Who asks one endpoint.
struct Examiner {
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
    health: Health,
    worker: mpsc::UnboundedSender<Command>,
    random: Wyrand,
}

impl Examiner {
    async fn run(mut self) {
        let mut tally = Tally::default();
        loop {
            let (reply, found) = oneshot::channel();
            let (cluster, endpoint) = (Arc::clone(&self.cluster), Arc::clone(&self.endpoint));
            let checkup = Checkup { cluster, endpoint, reply };
            if self.worker.send(Command::Check(checkup)).is_err() {
                return;
            }
            // The process goes down.
            let Ok(found) = found.await else { return };
            self.note(&mut tally, found);
            tokio::time::sleep(self.pause()).await;
        }
    }

    fn note(&self, tally: &mut Tally, found: Result<(), String>) {
        let result = if found.is_ok() { Checked::Passed } else { Checked::Failed };
        self.cluster.metrics.checks.one(SHARED, result);
        let healthy = tally.settled(found.is_ok(), &self.health);
        let why = found.err().unwrap_or_default();
        if let Some(healthy) = healthy
            && self.cluster.find(&self.endpoint, healthy, &why)
        {
            let (cluster, endpoint) = (&**self.cluster.name(), &*self.endpoint.name);
            match healthy {
                true => tracing::info!(cluster, endpoint, "an endpoint is healthy"),
                false => tracing::warn!(cluster, endpoint, why, "an endpoint is unhealthy"),
            }
        }
    }

    /// A tenth more or less, so that many proxies do not come at once.
    fn pause(&mut self) -> Duration {
        self.health.interval.mul_f64(0.9 + 0.2 * self.random.unit())
    }
}

/// Results in a row.
#[derive(Debug, Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    /// What the results so far come to, if there are enough of them.
    fn settled(&mut self, passed: bool, health: &Health) -> Option<bool> {
        (self.passed, self.failed) =
            if passed { (self.passed.saturating_add(1), 0) } else { (0, self.failed.saturating_add(1)) };
        if self.passed >= health.rise {
            return Some(true);
        }
        (self.failed >= health.fall).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use weir_config::checked::{Check, Initial};

    use super::*;

    #[test]
    fn it_takes_some_results_in_a_row_to_change_a_mind() {
        let health = Health {
            check: Check::Tcp,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            initial: Initial::Healthy,
        };
        let mut tally = Tally::default();
        let results = [false, false, true, false, false, false, false, true, false, true, true, true];
        let minds: Vec<_> = results.into_iter().map(|passed| tally.settled(passed, &health)).collect();
        let (no, yes, open) = (Some(false), Some(true), None);
        assert_eq!(minds, [open, open, open, open, open, no, no, open, open, open, yes, yes]);
    }
}
