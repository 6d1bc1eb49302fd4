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
use weir_config::checked::{self, Address, ToDestination, UpstreamProtocol};

use super::{Cluster, Listed, LocalCluster, Resolved, Target, pool::Room};
use crate::{
    clock::Nanos,
    error::Failure,
    message::{ConnectionInfo, Version},
    worker::Worker,
};

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
#[derive(Debug)]
pub(super) struct Family {
    /// For callers of HTTP/1, and of TCP.
    http1: Arc<checked::Cluster>,
    http2: Arc<checked::Cluster>,
    known: RefCell<Destinations>,
}

/// By where they lead, and whether for callers of HTTP/2.
type Destinations = HashMap<(SocketAddr, bool), Known, RandomState>;

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

    /// This cluster with the one endpoint that a captured connection leads to, which is spoken to in the version of HTTP
    /// that its caller speaks, unless config says otherwise: who called has not heard of a proxy.
    pub fn toward(
        &self,
        worker: &Worker,
        connection: Option<&ConnectionInfo>,
        version: Version,
    ) -> Result<Rc<Self>, Failure> {
        let destination = connection.and_then(ConnectionInfo::goes_on_to);
        let (Kin::Parent(family), Some(destination), Some(leads)) =
            (&self.kin, destination, self.shared.config.endpoints.to_destination())
        else {
            return Err(Failure::NoEndpoint);
        };
        // A filter may have chosen this cluster for whatever port was called: that opens none.
        if leads == ToDestination::Loopback && !connection.is_some_and(|connection| connection.by_port) {
            return Err(Failure::NoEndpoint);
        }
        let (to, http2) = (leads.endpoint(destination), version == Version::Http2);
        let used = worker.recent();
        let mut known = family.known.borrow_mut();
        if let Some(found) = known.get_mut(&(to, http2)) {
            found.used = used;
            return Ok(Rc::clone(&found.cluster));
        }
        if known.len() >= DESTINATIONS {
            forget_one(&mut known);
        }
        let shared = Arc::new(derived(&self.shared, to, Arc::clone(family.config(http2))));
        let cluster = Rc::new(Self::with_kin(shared, None, Kin::Child(Rc::downgrade(family))));
        known.insert((to, http2), Known { cluster: Rc::clone(&cluster), used });
        Ok(cluster)
    }
}

impl Family {
    fn of(cluster: &Cluster) -> Self {
        let spoken = |protocol: UpstreamProtocol| match cluster.config.protocol {
            UpstreamProtocol::Auto => Arc::new(checked::Cluster { protocol, ..(*cluster.config).clone() }),
            UpstreamProtocol::H1 | UpstreamProtocol::H2 => Arc::clone(&cluster.config),
        };
        // Where TLS is spoken, the endpoint may still decline.
        let http2 = if cluster.tls.is_some() { UpstreamProtocol::Auto } else { UpstreamProtocol::H2 };
        Self { http1: spoken(UpstreamProtocol::H1), http2: spoken(http2), known: RefCell::default() }
    }

    fn config(&self, http2: bool) -> &Arc<checked::Cluster> {
        if http2 { &self.http2 } else { &self.http1 }
    }
}

impl Kin {
    pub(super) fn of(cluster: &Cluster) -> Self {
        match cluster.config.endpoints.to_destination() {
            Some(_) => Self::Parent(Rc::new(Family::of(cluster))),
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

fn forget_one(known: &mut Destinations) {
    let unused_for_longest = |known: &Known| (Rc::strong_count(&known.cluster) > 1, known.used);
    let oldest = known.iter().min_by_key(|(_, known)| unused_for_longest(known)).map(|(to, _)| *to);
    if let Some(forgotten) = oldest.and_then(|to| known.remove(&to)) {
        forgotten.cluster.left_for(None);
    }
}

/// `cluster` with one endpoint.
fn derived(cluster: &Cluster, to: SocketAddr, config: Arc<checked::Cluster>) -> Cluster {
    let endpoint =
        checked::Endpoint { address: Address::Tcp(to), weight: 1, labels: BTreeMap::new(), priority: 0 };
    let resolved = Resolved::at(&endpoint, Target::Tcp(to), endpoint.weight);
    let (listed, metrics) = (Listed::fixed(vec![resolved]), Arc::clone(&cluster.metrics));
    Cluster::new(config, listed, cluster.tls.clone(), metrics, Some(cluster))
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

    fn captured(to: SocketAddr) -> ConnectionInfo {
        let mut connection = ConnectionInfo::plain("web".into(), None);
        (connection.destination, connection.captured, connection.by_port) = (Some(to), true, true);
        connection
    }

    fn toward(parent: &LocalCluster, worker: &Worker, to: SocketAddr) -> Rc<LocalCluster> {
        parent.toward(worker, Some(&captured(to)), Version::Http11).unwrap()
    }

    #[test]
    fn each_destination_is_a_cluster_of_one_endpoint_within_the_same_limits() {
        let worker = Worker::new(0, Clock::start(), 1);
        let parent = local("loopback");
        assert!(parent.is_for_destinations());
        assert!(parent.pick(&worker, &Labels::new(), None, &[]).is_none());
        let one = toward(&parent, &worker, at("10.0.0.1:80"));
        let picked = one.pick(&worker, &Labels::new(), None, &[]).unwrap();
        assert_eq!(picked.endpoint.target, Target::Tcp(at("127.0.0.1:80")));
        assert!(one.kept(&picked, Reuse::Any).is_none());
        assert!(Arc::ptr_eq(&one.bounds, &parent.bounds));
        assert!(Arc::ptr_eq(&one.shared.budget, &parent.shared.budget));
        assert!(!one.is_for_destinations());
        // They differ in what stays the same on loopback.
        let same = toward(&parent, &worker, at("10.0.0.2:80"));
        assert!(Rc::ptr_eq(&one, &same));
    }

    #[test]
    fn http_goes_on_in_the_version_it_came_in() {
        let worker = Worker::new(0, Clock::start(), 1);
        let parent = local("original");
        let connection = captured(at("10.0.0.1:80"));
        let protocol =
            |version| parent.toward(&worker, Some(&connection), version).unwrap().shared.config.protocol;
        assert_eq!(protocol(Version::Http10), UpstreamProtocol::H1);
        assert_eq!(protocol(Version::Http11), UpstreamProtocol::H1);
        assert_eq!(protocol(Version::Http2), UpstreamProtocol::H2);
    }

    #[test]
    fn what_other_proxies_say_of_destinations_leads_nowhere() {
        let worker = Worker::new(0, Clock::start(), 1);
        let parent = local("original");
        let mut connection = captured(at("10.0.0.1:80"));
        connection.captured = false;
        for connection in [Some(&connection), None] {
            let led = parent.toward(&worker, connection, Version::Http11);
            assert_eq!(led.map(|_| ()), Err(Failure::NoEndpoint));
        }
    }

    #[test]
    fn loopback_is_open_at_ports_that_config_names_whatever_a_filter_chose() {
        let worker = Worker::new(0, Clock::start(), 1);
        let mut connection = captured(at("10.0.0.1:9901"));
        connection.by_port = false;
        let led = |destination: &str| {
            local(destination).toward(&worker, Some(&connection), Version::Http11).map(|_| ())
        };
        assert_eq!(led("loopback"), Err(Failure::NoEndpoint));
        assert_eq!(led("original"), Ok(()));
    }

    #[test]
    fn destinations_are_forgotten_when_there_are_too_many_or_nobody_goes_there() {
        let worker = Worker::new(0, Clock::start(), 1);
        let parent = local("original");
        let held = toward(&parent, &worker, at("10.0.0.1:80"));
        for n in 0..2 * DESTINATIONS {
            worker.now();
            toward(&parent, &worker, SocketAddr::new([10, 1, 0, 1].into(), 1 + n as u16));
        }
        let Kin::Parent(family) = &parent.kin else { panic!("{parent:?}") };
        assert_eq!(family.known.borrow().len(), DESTINATIONS);
        assert!(Rc::ptr_eq(&held, &toward(&parent, &worker, at("10.0.0.1:80"))));
        std::thread::sleep(Duration::from_millis(1));
        parent.kin.tend(&worker, Duration::ZERO);
        assert_eq!(family.known.borrow().len(), 1, "the one that is held stays");
        drop(held);
        std::thread::sleep(Duration::from_millis(1));
        parent.kin.tend(&worker, Duration::ZERO);
        assert_eq!(family.known.borrow().len(), 0);
    }
}
