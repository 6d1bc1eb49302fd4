//! [`Endpoint`]: one address of a cluster and what is known of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use weir_balance::{Load, Standing};
use weir_config::checked::{self, Address};

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

    /// What takes the place of `before`, which is the same endpoint told of in another way (weight, labels): what is
    /// known of it goes on. What is under way ends at the one before.
    pub fn in_place_of(before: &Self, from: Resolved, default_rtt: Duration, decay: Duration) -> Self {
        let count = |number: &AtomicU64| AtomicU64::new(number.load(Relaxed));
        let finding = before.finding.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut endpoint = Self::new(from, default_rtt, decay);
        if before.load.estimates_as(&endpoint.load) {
            endpoint.load = before.load.continued();
        }
        endpoint.standing = before.standing.continued();
        endpoint.finding = Mutex::new(finding);
        (endpoint.answered, endpoint.failed) = (count(&before.answered), count(&before.failed));
        endpoint
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

    /// Where it is, as far as that is told.
    pub fn zone(&self) -> Option<&str> {
        self.labels.get(checked::ZONE).map(|zone| &**zone)
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
