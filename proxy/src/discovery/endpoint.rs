//! [`Resolved`]: one endpoint as it is told to clusters.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use weir_config::checked::{self, Address};

/// Where to connect to, after names were resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// An endpoint whose name, if it has one, is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name in logs and the admin API.
    pub name: Arc<str>,
    /// As config writes it: the name that a certificate must have.
    pub address: Address,
    /// Where to connect to.
    pub target: Target,
    /// Share of traffic, relative to the others.
    pub weight: u32,
    /// What subsets select by; zones and versions are labels too.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Those with a larger number are used when these do not suffice.
    pub priority: u32,
    /// The source's hint at its health. One that is not ready - it starts, or goes - gets traffic only if none is.
    pub ready: bool,
}

impl Resolved {
    /// An endpoint that needs no resolving. None: it has a name.
    pub fn literal(endpoint: &checked::Endpoint) -> Option<Self> {
        let target = match &endpoint.address {
            Address::Tcp(address) => Target::Tcp(*address),
            Address::Unix(path) => Target::Unix(path.clone()),
            Address::Name { .. } | Address::Srv { .. } => return None,
        };
        Some(Self::at(endpoint, target, endpoint.weight))
    }

    /// One of the places that an endpoint of config stands for.
    pub fn at(endpoint: &checked::Endpoint, target: Target, weight: u32) -> Self {
        let name = match &target {
            Target::Tcp(address) => address.to_string(),
            Target::Unix(path) => format!("unix:{}", path.display()),
        };
        let (address, labels) = (endpoint.address.clone(), endpoint.labels.clone());
        let priority = endpoint.priority;
        Self { name: name.into(), address, target, weight, labels, priority, ready: true }
    }
}
