//! Who the proxy is to other workloads: the X.509-SVID in force, and whom it trusts to name others.
//!
//! It stands apart from TLS, which shows an identity and asks for that of others, because an identity changes
//! by itself: files are rewritten, an agent sends the next SVID. Whoever uses one holds on to the [`Identity`]
//! and asks it at each handshake; nothing is built anew for a renewal.

pub mod svid;
pub mod workload_api;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

pub use svid::{Svid, SvidFault};

use crate::telemetry::metrics::{IdentityMetrics, SHARED};

/// How long handshakes wait for the first SVID, from when the identity was configured. An agent answers within
/// milliseconds; one that does not is away, and then a clear refusal is better than to hold callers up.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// One `[identities.NAME]`, through all its renewals.
pub struct Identity {
    name: Arc<str>,
    current: ArcSwapOption<Svid>,
    /// Raised when an SVID comes into force.
    came: Notify,
    since: Instant,
    metrics: Arc<IdentityMetrics>,
    trouble: Mutex<Option<Arc<str>>>,
}

/// Not derived: what holds a private key is nothing for logs.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Identity {
    /// Without an SVID yet.
    pub fn new(name: Arc<str>, metrics: Arc<IdentityMetrics>) -> Self {
        Self {
            name,
            current: ArcSwapOption::empty(),
            came: Notify::new(),
            since: Instant::now(),
            metrics,
            trouble: Mutex::new(None),
        }
    }

    /// As in config.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What is in force; none: nothing came yet.
    pub fn current(&self) -> Option<Arc<Svid>> {
        self.current.load_full()
    }

    /// Puts an SVID in force, for handshakes to come; connections that stand are not touched.
    pub fn adopt(&self, svid: Arc<Svid>) {
        tracing::info!(
            identity = &*self.name,
            id = svid.id().as_str(),
            expires_in_seconds = svid.expires_in(svid::unix_now()),
            "the SVID is in force"
        );
        self.metrics.renewals.add(SHARED, 1);
        self.metrics.expires.set(SHARED, u64::try_from(svid.not_after()).unwrap_or(0));
        self.current.store(Some(svid));
        self.tell(None);
        self.came.notify_waiters();
    }

    /// What is in force, waited for while the identity is new.
    pub async fn first(&self) -> Option<Arc<Svid>> {
        let waiting = self.came.notified();
        if let Some(svid) = self.current() {
            return Some(svid);
        }
        let left = FIRST_WAIT.saturating_sub(self.since.elapsed());
        let _ = tokio::time::timeout(left, waiting).await;
        self.current()
    }

    /// What could be had cannot be used, or nothing could be had; what is in force stays.
    pub fn failed(&self, reason: &str) {
        self.metrics.failures.add(SHARED, 1);
        self.tell(Some(reason));
    }

    fn tell(&self, trouble: Option<&str>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.map(Into::into);
    }

    /// What keeps the next SVID away, for the admin API. None: all is well.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SVIDs that came into force.
    pub fn renewals(&self) -> u64 {
        self.metrics.renewals.sum()
    }
}
