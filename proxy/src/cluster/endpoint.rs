//! [`Endpoint`]: one address of a cluster and what is known of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use weir_balance::{Load, Standing};
use weir_config::checked::Address;

use crate::discovery::{Resolved, Target};

/// One endpoint, shared by workers.
#[derive(Debug)]
pub struct Endpoint {
    /// As config writes it: the name in logs and the admin API.
    pub name: Arc<str>,
    /// As config writes it: the name that a certificate must have.
    pub address: Address,
    /// Where to connect to.
    pub target: Target,
    /// Share of traffic, relative to the others.
    pub weight: u32,
    /// What subsets select by.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Those with a larger number are used when these do not suffice.
    pub priority: u32,
    /// What the balancer knows.
    pub load: Load,
    /// Whether it is used.
    pub standing: Standing,
    /// Why the last check that changed something failed; empty if it did not.
    pub finding: Mutex<Box<str>>,
    /// Stable identity for consistent hashing.
    pub hash: u64,
    /// Exchanges answered, and attempts that failed, since the start.
    pub answered: AtomicU64,
    /// See `answered`.
    pub failed: AtomicU64,
}

impl Endpoint {
    /// A new endpoint, of which nothing is known.
    pub fn new(from: Resolved, default_rtt: Duration, decay: Duration) -> Self {
        use std::hash::{BuildHasher, Hasher};
        // A fixed seed: every proxy must place an endpoint at the same point of its ring.
        let mut hasher = foldhash::quality::FixedState::with_seed(0x5765_6972).build_hasher();
        hasher.write(from.name.as_bytes());
        Self {
            hash: hasher.finish(),
            name: from.name,
            address: from.address,
            target: from.target,
            weight: from.weight,
            labels: from.labels,
            priority: from.priority,
            load: Load::new(default_rtt, decay),
            standing: Standing::default(),
            finding: Mutex::default(),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Whether this is what config says and names resolve to.
    pub fn is(&self, resolved: &Resolved) -> bool {
        let Resolved { name, address, target, weight, labels, priority, ready: _ } = resolved;
        self.name == *name
            && self.address == *address
            && self.target == *target
            && self.weight == *weight
            && self.labels == *labels
            && self.priority == *priority
    }

    /// Whether it carries all of `labels`.
    pub fn matches<'a>(&self, mut labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        labels.all(|(name, value)| self.labels.get(name).is_some_and(|own| **own == *value))
    }

    /// Counts an attempt's end.
    pub fn count(&self, answered: bool) {
        if answered { &self.answered } else { &self.failed }.fetch_add(1, Relaxed);
    }
}

impl weir_balance::Endpoint for Endpoint {
    fn load(&self) -> &Load {
        &self.load
    }

    fn weight(&self) -> u32 {
        self.weight
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}
