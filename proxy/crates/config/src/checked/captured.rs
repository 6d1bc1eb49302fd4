//! Where connections were going that the system led to a listener, and the clusters for that.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterId, Network};

/// Where a captured connection may have been going: addresses that begin alike, a port, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// None: any address.
    pub network: Option<Network>,
    /// None: any port.
    pub port: Option<u16>,
}

/// What is known of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Where connections go that were going there.
    pub cluster: ClusterId,
    /// Config names the port, which is thereby open to callers.
    pub by_port: bool,
}

/// Clusters by destination. The longest common beginning of addresses wins, then a port over none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Destinations {
    clusters: BTreeMap<Destination, ClusterId>,
    /// What to look for, in this order: there are few shapes, however many destinations.
    shapes: Vec<Shape>,
}

/// What destinations have in common that can be found with one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// How many bits, and of an address of which family; none: any address.
    bits: Option<(u8, bool)>,
    port: bool,
}

impl Destinations {
    /// Of two that are alike the later one counts.
    pub fn new(destinations: impl IntoIterator<Item = (Destination, ClusterId)>) -> Self {
        let clusters: BTreeMap<_, _> = destinations.into_iter().collect();
        let shape = |destination: &Destination| Shape {
            bits: destination.network.map(|network| (network.bits, network.address.is_ipv4())),
            port: destination.port.is_some(),
        };
        let mut shapes: Vec<Shape> = clusters.keys().map(shape).collect();
        shapes.sort_unstable_by(|a, b| b.cmp(a));
        shapes.dedup();
        Self { clusters, shapes }
    }

    /// What is known of where a connection was going. An IPv4 address is one however it is written.
    pub fn find(&self, to: SocketAddr) -> Option<Found> {
        let ip = to.ip().to_canonical();
        self.shapes.iter().filter_map(|shape| shape.of(ip, to.port())).find_map(|destination| {
            let cluster = *self.clusters.get(&destination)?;
            Some(Found { cluster, by_port: destination.port.is_some() })
        })
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    /// All clusters.
    pub fn clusters(&self) -> impl Iterator<Item = ClusterId> {
        self.clusters.values().copied()
    }

    /// All clusters, to be numbered otherwise.
    pub fn clusters_mut(&mut self) -> impl Iterator<Item = &mut ClusterId> {
        self.clusters.values_mut()
    }
}

impl Shape {
    /// The one destination of this shape that an address belongs to. None: it is of the other family.
    fn of(self, ip: IpAddr, port: u16) -> Option<Destination> {
        let network = match self.bits {
            None => None,
            Some((_, ipv4)) if ipv4 != ip.is_ipv4() => return None,
            Some((bits, _)) => Some(Network::new(ip, bits)),
        };
        Some(Destination { network, port: self.port.then_some(port) })
    }
}

/// What stands for the endpoints of a cluster that has none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToDestination {
    /// Where the connection was going: it goes on to there.
    Original,
    /// The port that the connection was going to, on this machine's loopback (`127.0.0.1`, or `::1` for IPv6): a
    /// service beside the proxy that nobody else can reach. Listeners lead there by ports that `destinations` names.
    Loopback,
}

impl ToDestination {
    /// As it is configured.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Loopback => "loopback",
        }
    }

    /// Where a connection leads that was going there.
    pub fn endpoint(self, destination: SocketAddr) -> SocketAddr {
        let loopback: IpAddr = match destination.ip() {
            IpAddr::V4(_) => [127, 0, 0, 1].into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        match self {
            Self::Original => destination,
            Self::Loopback => SocketAddr::new(loopback, destination.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(destinations: &[&str], to: &str) -> Option<usize> {
        let parsed = destinations.iter().map(|text| text.parse().unwrap());
        let found = Destinations::new(parsed.zip((0..).map(ClusterId))).find(to.parse().unwrap())?;
        let position = found.cluster.0 as usize;
        assert_eq!(found.by_port, destinations[position].parse::<Destination>().unwrap().port.is_some());
        Some(position)
    }

    #[test]
    fn the_longest_beginning_wins_then_the_port() {
        let all = [
            ":5432",
            "10.0.0.0/8",
            "10.0.0.0/8:443",
            "10.1.0.0/16",
            "10.1.2.3:443",
            "0.0.0.0/0",
            "[fd00::]/8:80",
            "fd00::1",
        ];
        for (to, expected) in [
            ("192.0.2.1:5432", Some(5)),
            ("[2001:db8::1]:5432", Some(0)),
            ("[2001:db8::1]:80", None),
            ("10.9.0.1:80", Some(1)),
            ("10.9.0.1:443", Some(2)),
            ("10.1.0.1:443", Some(3)),
            ("10.1.2.3:443", Some(4)),
            ("10.1.2.3:80", Some(3)),
            ("[::ffff:10.1.2.3]:443", Some(4)),
            ("[fd00::2]:80", Some(6)),
            ("[fd00::2]:81", None),
            ("[fd00::1]:80", Some(7)),
        ] {
            assert_eq!(found(&all, to), expected, "{to}");
        }
        assert_eq!(found(&[], "10.0.0.1:80"), None);
    }

    #[test]
    fn a_connection_leads_to_where_it_was_going_or_to_the_port_beside_the_proxy() {
        let (v4, v6) = ("10.0.0.1:80".parse().unwrap(), "[fd00::1]:80".parse().unwrap());
        assert_eq!(ToDestination::Original.endpoint(v6), v6);
        assert_eq!(ToDestination::Loopback.endpoint(v4), "127.0.0.1:80".parse().unwrap());
        assert_eq!(ToDestination::Loopback.endpoint(v6), "[::1]:80".parse().unwrap());
    }
}
