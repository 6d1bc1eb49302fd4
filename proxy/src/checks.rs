//! Active health: endpoints are asked again and again whether they are well.
//!
//! The control thread says when and keeps count; some worker asks, since connections are the workers' matter. One
//! worker for each endpoint: an endpoint is not asked more often because there are more of them.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use weir_balance::{Random, Wyrand};
use weir_config::checked::Health;

use crate::{
    cluster::{Cluster, Endpoint, Target},
    listener::worker::{Checkup, Command},
    snapshot::Shared,
    telemetry::metrics::{Checked, SHARED},
};

/// Whom to check: a cluster's name, where the endpoint is, and which one of those that are listed twice.
type Place = (Arc<str>, Target, u32);

/// An endpoint as the cluster in force has it.
#[derive(Clone)]
struct Subject {
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
}

/// One endpoint that is asked, until this is dropped.
struct Asked {
    subject: Arc<Mutex<Subject>>,
    task: JoinHandle<()>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
        let Subject { cluster, endpoint } = &*locked(&self.subject);
        tracing::debug!(cluster = &**cluster.name(), endpoint = &*endpoint.name, "no longer checked");
    }
}

/// Checks the endpoints of all clusters that say so, for as long as the process runs. An endpoint that stays is
/// asked at its own pace, and is what its last checks made of it, whatever else changes.
pub async fn keep_checking(shared: Arc<Shared>, workers: Vec<mpsc::UnboundedSender<Command>>) {
    let mut swapped = shared.swapped.subscribe();
    let mut asked: HashMap<Place, Asked> = HashMap::new();
    loop {
        let snapshot = shared.snapshot();
        let mut before = std::mem::take(&mut asked);
        for cluster in snapshot.clusters.iter().flatten() {
            let Some(health) = &cluster.config.health else { continue };
            for endpoint in &cluster.endpoints {
                let subject = Subject { cluster: Arc::clone(cluster), endpoint: Arc::clone(endpoint) };
                let mut place = (Arc::clone(cluster.name()), endpoint.target.clone(), 0);
                while asked.contains_key(&place) {
                    place.2 += 1;
                }
                let known = before.remove(&place).filter(|known| known.is_asked_by(health));
                let one = match known {
                    Some(known) => {
                        *locked(&known.subject) = subject;
                        Some(known)
                    }
                    None => begin(subject, health, &workers),
                };
                if let Some(one) = one {
                    asked.insert(place, one);
                }
            }
        }
        drop((before, snapshot));
        if swapped.changed().await.is_err() {
            return;
        }
    }
}

fn begin(subject: Subject, health: &Health, workers: &[mpsc::UnboundedSender<Command>]) -> Option<Asked> {
    let place = RandomState::new().hash_one(&subject.endpoint.name);
    let worker = workers.get(place as usize % workers.len().max(1))?.clone();
    let subject = Arc::new(Mutex::new(subject));
    let random = Wyrand::new(place);
    let examiner = Examiner { subject: Arc::clone(&subject), health: health.clone(), worker, random };
    Some(Asked { subject, task: tokio::spawn(examiner.run()) })
}

impl Asked {
    /// Whether these are the checks that go on.
    fn is_asked_by(&self, health: &Health) -> bool {
        locked(&self.subject).cluster.config.health.as_ref() == Some(health)
    }
}

fn locked(subject: &Mutex<Subject>) -> MutexGuard<'_, Subject> {
    subject.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who asks one endpoint.
struct Examiner {
    subject: Arc<Mutex<Subject>>,
    health: Health,
    worker: mpsc::UnboundedSender<Command>,
    random: Wyrand,
}

impl Examiner {
    async fn run(mut self) {
        let mut tally = Tally::default();
        loop {
            let (reply, found) = oneshot::channel();
            let Subject { cluster, endpoint } = locked(&self.subject).clone();
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
        let Subject { cluster, endpoint } = locked(&self.subject).clone();
        let result = if found.is_ok() { Checked::Passed } else { Checked::Failed };
        cluster.metrics.checks.one(SHARED, result);
        let healthy = tally.settled(found.is_ok(), &self.health);
        let why = found.err().unwrap_or_default();
        if let Some(healthy) = healthy
            && cluster.find(&endpoint, healthy, &why)
        {
            let (cluster, endpoint) = (&**cluster.name(), &*endpoint.name);
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
