//! [`Resolver`]: names to addresses, by the hosts file and the domain name system.
//!
//! It asks servers itself instead of calling `getaddrinfo`, which tells no time to live, knows no SRV records and
//! takes a thread for each question ([docs/decisions](../../../../docs/decisions/0007-own-resolver.md)).

mod question;
mod system;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use question::{Kind, Record, Reply};
use system::System;

/// How long a server that `[dns]` names may take; one of the system's as long as its file says.
const SERVER_PATIENCE: Duration = Duration::from_secs(2);
/// How long the hosts file is believed before it is looked at again.
const HOSTS_VALID: Duration = Duration::from_secs(10);

/// Asks for names.
pub(super) struct Resolver {
    /// Instead of the system's, if there are any.
    servers: Vec<SocketAddr>,
    system: ArcSwap<System>,
}

/// The addresses of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hosts {
    v4: Family,
    v6: Family,
    pub(super) valid_until: Instant,
}

/// None: they could not be learned.
type Family = Option<Vec<IpAddr>>;

/// One SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) priority: u16,
    pub(super) weight: u32,
}

impl Hosts {
    pub(super) fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.iter().chain(&self.v6).flatten().copied()
    }

    /// Takes families that could not be learned over from what is known.
    pub(super) fn complete(&mut self, known: &Hosts) {
        if self.v4.is_none() {
            self.v4.clone_from(&known.v4);
        }
        if self.v6.is_none() {
            self.v6.clone_from(&known.v6);
        }
    }

    /// Addresses that need no asking.
    fn fixed(all: &[IpAddr]) -> Self {
        let of = |v4: bool| Some(all.iter().copied().filter(|ip| ip.is_ipv4() == v4).collect());
        Self { v4: of(true), v6: of(false), valid_until: Instant::now() + HOSTS_VALID }
    }
}

impl Resolver {
    /// Asks these servers, or those of the system if there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.to_vec(), system: ArcSwap::from_pointee(System::now()) }
    }

    pub(super) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The addresses of a host. An error is also that it has none.
    pub(super) async fn hosts(&self, host: &str) -> Result<Hosts, String> {
        let system = self.system();
        if let Some(listed) = system.listed(host) {
            return Ok(Hosts::fixed(listed));
        }
        // RFC 6761 6.3: never asked for.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(Hosts::fixed(&[Ipv4Addr::LOCALHOST.into()]));
        }
        let (v4, v6) = tokio::join!(self.ask(&system, host, Kind::A), self.ask(&system, host, Kind::Aaaa));
        if let (Ok(Reply::Denied), Ok(Reply::Denied)) = (&v4, &v6) {
            return Err("there is no address of this name".to_owned());
        }
        let (v4, v6) = match (family(v4), family(v6)) {
            (Err(reason), Ok((addresses, _))) | (Ok((addresses, _)), Err(reason)) if addresses.is_empty() => {
                return Err(reason);
            }
            (Err(reason), Err(_)) => return Err(reason),
            families => families,
        };
        // A family that failed is asked for again together with the other.
        let times = [&v4, &v6].into_iter().filter_map(|family| family.as_ref().ok()?.1);
        let valid_until = times.min().unwrap_or_else(Instant::now);
        let known = |family: Result<(Vec<IpAddr>, _), String>| family.ok().map(|(addresses, _)| addresses);
        Ok(Hosts { v4: known(v4), v6: known(v6), valid_until })
    }

    /// The hosts that offer a service, and until when that holds. An error is also that there are none.
    pub(super) async fn services(&self, service: &str) -> Result<(Vec<Service>, Instant), String> {
        let Reply::Answer { records, valid_until } = self.ask(&self.system(), service, Kind::Srv).await?
        else {
            return Err("there are no such records".to_owned());
        };
        // The root as a host: the service is decidedly not offered.
        let offered = records.into_iter().filter_map(|record| match record {
            Record::Service(service) if !service.host.is_empty() && service.port != 0 => Some(service),
            _ => None,
        });
        match offered.collect::<Vec<_>>() {
            none if none.is_empty() => Err("no host offers this service".to_owned()),
            some => Ok((some, valid_until)),
        }
    }

    /// Asks for a name and, if it is not whole, for it within the domains to search, until one exists.
    async fn ask(&self, system: &System, name: &str, kind: Kind) -> Result<Reply, String> {
        let (servers, patience) = match &*self.servers {
            [] => (system.servers(), system.timeout()),
            own => (own, SERVER_PATIENCE),
        };
        let mut failed = None;
        for name in system.names(name) {
            match ask_all(servers, system.attempts(), patience, &name, kind).await {
                Ok(Reply::Denied) => {}
                Ok(answer) => return Ok(answer),
                Err(reason) => failed = Some(reason),
            }
        }
        failed.map_or(Ok(Reply::Denied), Err)
    }

    /// Read anew if the machine's files are others now.
    fn system(&self) -> Arc<System> {
        let system = self.system.load_full();
        if system.is_current() {
            return system;
        }
        let new = Arc::new(System::now());
        self.system.store(Arc::clone(&new));
        new
    }
}

/// Asks one server after the other until one knows.
async fn ask_all(
    servers: &[SocketAddr],
    attempts: u32,
    patience: Duration,
    name: &str,
    kind: Kind,
) -> Result<Reply, String> {
    let mut failed = "there is no server to ask".to_owned();
    for _ in 0..attempts {
        for server in servers {
            match question::ask(*server, name, kind, patience).await {
                Ok(reply) => return Ok(reply),
                Err(error) => failed = format!("{server}: {error}"),
            }
        }
    }
    Err(failed)
}

/// The addresses of a family, and until when they hold.
fn family(reply: Result<Reply, String>) -> Result<(Vec<IpAddr>, Option<Instant>), String> {
    match reply? {
        Reply::Denied => Ok((Vec::new(), None)),
        Reply::Answer { records, valid_until } => {
            let address = |record| match record {
                Record::Address(ip) => Some(ip),
                Record::Service(_) => None,
            };
            Ok((records.into_iter().filter_map(address).collect(), Some(valid_until)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_that_cannot_be_learned_is_what_it_was() {
        let one: IpAddr = [10, 0, 0, 1].into();
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let valid_until = Instant::now();
        let known = Hosts { v4: Some(vec![one]), v6: Some(vec![six]), valid_until };
        let mut now = Hosts { v4: Some(vec![]), v6: None, valid_until };
        now.complete(&known);
        assert_eq!(now.all().collect::<Vec<_>>(), [six]);
    }

    #[tokio::test]
    async fn the_machine_itself_is_known_without_asking() {
        let nobody = Resolver::new(&[([127, 0, 0, 1], 1).into()]);
        for name in ["localhost", "any.localhost"] {
            let hosts = nobody.hosts(name).await.unwrap();
            assert!(hosts.all().count() > 0 && hosts.all().all(|ip| ip.is_loopback()), "{name}");
        }
    }
}
