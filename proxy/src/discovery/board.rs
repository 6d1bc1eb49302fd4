//! [`Board`]: what the sources of one cluster have told, part by part, and what became of those that failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use super::Resolved;
use crate::{
    clock::unix_ms,
    telemetry::metrics::{ClusterMetrics, Discovered, SHARED},
};

/// What all boards tell of.
#[derive(Debug, Default)]
pub struct Hub {
    changed: Notify,
    heard: (Mutex<()>, Condvar),
}

impl Hub {
    /// A list is another one.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits for a change, also one that was before.
    pub(super) async fn change(&self) {
        self.changed.notified().await;
    }

    fn heard(&self) {
        let _held = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.heard.1.notify_all();
    }

    /// Waits until it is so, looking whenever a source was heard of.
    pub(super) fn wait_until(&self, until: Instant, is_so: impl Fn() -> bool) {
        let mut held = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !is_so() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            held = self.heard.1.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The endpoints of one cluster as its sources tell them.
pub struct Board {
    cluster: Arc<str>,
    hub: Arc<Hub>,
    metrics: Arc<ClusterMetrics>,
    version: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parts: BTreeMap<Arc<str>, Vec<Resolved>>,
    failing: BTreeMap<Arc<str>, Failing>,
    /// Parts of which nothing was heard yet.
    awaited: BTreeSet<Arc<str>>,
}

/// A source that does not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Failing {
    /// What it was asked for: a name, a file.
    pub source: Arc<str>,
    /// Why the last answer is of no use.
    pub reason: String,
    /// When that began.
    pub since_unix_ms: u64,
}

impl Board {
    /// Nothing is known yet.
    pub fn new(cluster: Arc<str>, hub: Arc<Hub>, metrics: Arc<ClusterMetrics>) -> Arc<Self> {
        Arc::new(Self { cluster, hub, metrics, version: AtomicU64::new(0), state: Mutex::default() })
    }

    /// Begins with what another one knows, until there is news.
    pub(super) fn begin_with(&self, other: &Board) {
        let parts = other.state().parts.clone();
        self.state().parts = parts;
        self.version.store(other.version.load(Ordering::Acquire) + 1, Ordering::Release);
    }

    /// This part will be told of.
    pub fn await_part(&self, part: &Arc<str>) {
        self.state().awaited.insert(Arc::clone(part));
    }

    /// The whole list of a part, which takes the place of the one before.
    pub fn put(&self, part: &Arc<str>, list: Vec<Resolved>) {
        let mut state = self.state();
        let changed = state.parts.get(part) != Some(&list);
        if changed {
            state.parts.insert(Arc::clone(part), list);
        }
        let was_failing = state.failing.remove(part).is_some();
        state.awaited.remove(part);
        self.account(state, changed);
        if was_failing {
            tracing::info!(cluster = &*self.cluster, source = &**part, "its endpoints are told again");
        }
    }

    /// There is no such part any more.
    pub fn remove(&self, part: &str) {
        let mut state = self.state();
        let was_failing = state.failing.remove(part).is_some();
        state.awaited.remove(part);
        let changed = state.parts.remove(part).is_some_and(|list| !list.is_empty());
        if changed {
            self.account(state, changed);
        }
        if was_failing {
            tracing::info!(cluster = &*self.cluster, source = part, "nothing is wrong there any more");
        }
    }

    /// A part cannot be had. What was known of it stays.
    pub fn fail(&self, part: &Arc<str>, reason: String) {
        let mut state = self.state();
        let known = state.failing.get(part);
        let is_news = known.is_none_or(|known| known.reason != reason);
        let since_unix_ms = known.map_or_else(unix_ms, |known| known.since_unix_ms);
        if is_news {
            let kept = state.parts.get(part).map_or(0, Vec::len);
            tracing::warn!(
                cluster = &*self.cluster,
                source = &**part,
                reason,
                kept,
                "endpoints could not be learned; those that were known stay"
            );
        }
        let failing = Failing { source: Arc::clone(part), reason, since_unix_ms };
        state.failing.insert(Arc::clone(part), failing);
        state.awaited.remove(part);
        drop(state);
        self.metrics.discovery.one(SHARED, Discovered::Failed);
        self.hub.heard();
    }

    fn account(&self, state: MutexGuard<'_, State>, changed: bool) {
        if changed {
            self.version.fetch_add(1, Ordering::Release);
        }
        drop(state);
        let result = if changed { Discovered::Applied } else { Discovered::Unchanged };
        self.metrics.discovery.one(SHARED, result);
        if changed {
            self.hub.changed();
        }
        self.hub.heard();
    }

    /// Counts up whenever the list changes.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// All parts together; those that are ready, if any is.
    pub fn endpoints(&self) -> (u64, Vec<Resolved>) {
        let state = self.state();
        let all = || state.parts.values().flatten();
        let some_ready = all().any(|endpoint| endpoint.ready);
        let list = all().filter(|endpoint| endpoint.ready || !some_ready).cloned().collect();
        (self.version(), list)
    }

    /// Sources that fail.
    pub fn failing(&self) -> Vec<Failing> {
        self.state().failing.values().cloned().collect()
    }

    /// Whether no part is awaited.
    pub fn has_heard_of_all(&self) -> bool {
        self.state().awaited.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{discovery::Target, telemetry::metrics::Metrics};
    use weir_config::checked::{Address, Endpoint};

    fn board() -> Arc<Board> {
        Board::new("users".into(), Arc::default(), Metrics::new(1).cluster("users"))
    }

    fn endpoint(port: u16) -> Resolved {
        let address = ([127, 0, 0, 1], port).into();
        let config =
            Endpoint { address: Address::Tcp(address), weight: 1, labels: BTreeMap::new(), priority: 0 };
        Resolved::at(&config, Target::Tcp(address), 1)
    }

    fn ports(board: &Board) -> Vec<u16> {
        let port = |endpoint: &Resolved| match &endpoint.target {
            Target::Tcp(address) => address.port(),
            Target::Unix(_) => 0,
        };
        board.endpoints().1.iter().map(port).collect()
    }

    #[test]
    fn parts_are_told_apart_and_only_news_count() {
        let (board, a, b) = (board(), Arc::from("a"), Arc::from("b"));
        board.put(&a, vec![endpoint(1)]);
        board.put(&b, vec![endpoint(2)]);
        let version = board.version();
        board.put(&a, vec![endpoint(1)]);
        assert_eq!((board.version(), ports(&board)), (version, vec![1, 2]));
        board.put(&a, vec![endpoint(3)]);
        assert_eq!(ports(&board), [3, 2]);
        board.remove("b");
        assert_eq!(ports(&board), [3]);
        assert_eq!(board.version(), version + 2);
    }

    #[test]
    fn a_source_that_fails_takes_nothing_away() {
        let (board, a) = (board(), Arc::from("a"));
        board.await_part(&a);
        assert!(!board.has_heard_of_all());
        board.fail(&a, "silence".to_owned());
        assert!(board.has_heard_of_all(), "a failure is heard of too");
        board.put(&a, vec![endpoint(1)]);
        board.fail(&a, "silence".to_owned());
        assert_eq!((ports(&board), board.failing().len()), (vec![1], 1));
        board.put(&a, vec![]);
        assert_eq!((ports(&board), board.failing().len()), (vec![], 0), "an empty list is one");
    }

    #[test]
    fn what_is_not_ready_serves_only_if_nothing_else_can() {
        let (board, a) = (board(), Arc::from("a"));
        let goes = |port| Resolved { ready: false, ..endpoint(port) };
        board.put(&a, vec![endpoint(1), goes(2)]);
        assert_eq!(ports(&board), [1]);
        board.put(&a, vec![goes(1), goes(2)]);
        assert_eq!(ports(&board), [1, 2]);
    }
}
