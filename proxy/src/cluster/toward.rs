//! Clusters that have no endpoints of their own: each captured connection brings the one it goes to.
//!
//! For each destination one cluster is derived, with that single endpoint. It has its own connections; limits, the
//! budget of retries, TLS and metrics are those of the cluster that config names.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use foldhash::fast::RandomState;
use weir_config::checked::{self, Address};

use super::{Cluster, Listed, LocalCluster, Resolved, Target, pool::Room};
use crate::{clock::Nanos, worker::Worker};

/// Destinations that a worker remembers of a cluster. Callers choose where they go, so there is a bound: beyond it,
/// what is unused for longest is forgotten, and its connections close with their last exchange.
const DESTINATIONS: usize = 1024;

/// What a cluster has to do with destinations.
#[derive(Debug)]
pub(super) enum Kin {
    /// Nothing: it has endpoints of its own.
    None,
    /// These were derived from it.
    Parent(Rc<Family>),
    /// It is one of these.
    Child(Weak<Family>),
}

/// The clusters that were derived from one, by where they lead.
#[derive(Debug, Default)]
pub(super) struct Family {
    known: RefCell<HashMap<SocketAddr, Known, RandomState>>,
}

#[derive(Debug)]
struct Known {
    cluster: Rc<LocalCluster>,
    used: Nanos,
}

impl LocalCluster {
    /// Whether its endpoints are the destinations of captured connections.
    pub fn is_for_destinations(&self) -> bool {
        matches!(self.kin, Kin::Parent(_))
    }

    /// This cluster with the one endpoint that a connection leads to that was going to `destination`. None: it has
    /// endpoints of its own.
    pub fn toward(&self, worker: &Worker, destination: SocketAddr) -> Option<Rc<Self>> {
        let Kin::Parent(family) = &self.kin else { return None };
        let to = self.shared.config.endpoints.to_destination()?.endpoint(destination);
        let used = worker.recent();
        let mut known = family.known.borrow_mut();
        if let Some(found) = known.get_mut(&to) {
            found.used = used;
            return Some(Rc::clone(&found.cluster));
        }
        if known.len() >= DESTINATIONS {
            forget_one(&mut known);
        }
        let child =
            Self::with_kin(Arc::new(derived(&self.shared, to)), None, Kin::Child(Rc::downgrade(family)));
        let cluster = Rc::new(child);
        known.insert(to, Known { cluster: Rc::clone(&cluster), used });
        Some(cluster)
    }
}

impl Kin {
    pub(super) fn of(cluster: &Cluster) -> Self {
        match cluster.config.endpoints.to_destination() {
            Some(_) => Self::Parent(Rc::default()),
            None => Self::None,
        }
    }

    /// Closes a connection that nobody uses, to whichever destination.
    pub(super) fn close_one(&self) -> Option<Room> {
        let family = match self {
            Self::None => return None,
            Self::Parent(family) => Rc::clone(family),
            Self::Child(family) => family.upgrade()?,
        };
        let known = family.known.borrow();
        known.values().flat_map(|known| known.cluster.pools()).find_map(|pool| pool.close_one())
    }

    /// Closes what idled too long, and forgets destinations that nobody went to for as long.
    pub(super) fn tend(&self, worker: &Worker, idle_timeout: Duration) {
        let Self::Parent(family) = self else { return };
        let now = worker.now();
        family.known.borrow_mut().retain(|_, known| {
            let pools = known.cluster.pools();
            pools.iter().for_each(|pool| pool.tend(worker, idle_timeout));
            let lately = u128::from(now.saturating_sub(known.used)) <= idle_timeout.as_nanos();
            lately || Rc::strong_count(&known.cluster) > 1 || pools.iter().any(|pool| !pool.is_empty())
        });
    }

    /// Closes connections as soon as nobody uses them.
    pub(super) fn retire(&self) {
        if let Self::Parent(family) = self {
            family.known.borrow().values().for_each(|known| known.cluster.left_for(None));
        }
    }
}

fn forget_one(known: &mut HashMap<SocketAddr, Known, RandomState>) {
    let unused_for_longest = |known: &Known| (Rc::strong_count(&known.cluster) > 1, known.used);
    let oldest = known.iter().min_by_key(|(_, known)| unused_for_longest(known)).map(|(to, _)| *to);
    if let Some(forgotten) = oldest.and_then(|to| known.remove(&to)) {
        forgotten.cluster.left_for(None);
    }
}

/// `cluster` with one endpoint.
fn derived(cluster: &Cluster, to: SocketAddr) -> Cluster {
    let endpoint =
        checked::Endpoint { address: Address::Tcp(to), weight: 1, labels: BTreeMap::new(), priority: 0 };
    let resolved = Resolved::at(&endpoint, Target::Tcp(to), endpoint.weight);
    let (config, metrics) = (Arc::clone(&cluster.config), Arc::clone(&cluster.metrics));
    Cluster::new(config, Listed::fixed(vec![resolved]), cluster.tls.clone(), metrics, Some(cluster))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        clock::Clock,
        cluster::{Labels, Reuse},
        telemetry::metrics::Metrics,
    };

    fn local(destination: &str) -> LocalCluster {
        let text = format!(
            "[listeners.web]\naddress = \"127.0.0.1:0\"\ncaptured = true\n\
             destinations = {{ \":1\" = \"mesh\" }}\n[clusters.mesh]\ndestination = {destination:?}\n"
        );
        let mut config = weir_config::parse(&text, Path::new("."), "test").unwrap();
        let config = Arc::new(config.clusters.remove(0));
        let metrics = Metrics::new(1).cluster("mesh");
        LocalCluster::new(
            Arc::new(Cluster::new(config, Listed::fixed(Vec::new()), None, metrics, None)),
            None,
        )
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_destination_is_a_cluster_of_one_endpoint_within_the_same_limits() {
        let worker = Worker::new(0, Clock::start(), 1);
        let parent = local("loopback");
        assert!(parent.is_for_destinations());
        assert!(parent.pick(&worker, &Labels::new(), None, &[]).is_none());
        let one = parent.toward(&worker, at("10.0.0.1:80")).unwrap();
        let picked = one.pick(&worker, &Labels::new(), None, &[]).unwrap();
        assert_eq!(picked.endpoint.target, Target::Tcp(at("127.0.0.1:80")));
        assert!(one.kept(&picked, Reuse::Any).is_none());
        assert!(Arc::ptr_eq(&one.bounds, &parent.bounds));
        assert!(Arc::ptr_eq(&one.shared.budget, &parent.shared.budget));
        assert!(!one.is_for_destinations() && one.toward(&worker, at("10.0.0.1:80")).is_none());
        // They differ in what stays the same on loopback.
        let same = parent.toward(&worker, at("10.0.0.2:80")).unwrap();
        assert!(Rc::ptr_eq(&one, &same));
    }

    #[test]
    fn destinations_are_forgotten_when_there_are_too_many_or_nobody_goes_there() {
        let worker = Worker::new(0, Clock::start(), 1);
        let parent = local("original");
        let held = parent.toward(&worker, at("10.0.0.1:80")).unwrap();
        for n in 0..2 * DESTINATIONS {
            worker.now();
            parent.toward(&worker, SocketAddr::new([10, 1, 0, 1].into(), 1 + n as u16)).unwrap();
        }
        let Kin::Parent(family) = &parent.kin else { panic!("{parent:?}") };
        assert_eq!(family.known.borrow().len(), DESTINATIONS);
        assert!(Rc::ptr_eq(&held, &parent.toward(&worker, at("10.0.0.1:80")).unwrap()));
        std::thread::sleep(Duration::from_millis(1));
        parent.kin.tend(&worker, Duration::ZERO);
        assert_eq!(family.known.borrow().len(), 1, "the one that is held stays");
        drop(held);
        std::thread::sleep(Duration::from_millis(1));
        parent.kin.tend(&worker, Duration::ZERO);
        assert_eq!(family.known.borrow().len(), 0);
    }
}
