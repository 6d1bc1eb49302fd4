//! Opening a connection to an endpoint: socket, TLS, and which HTTP it will speak.

use std::{collections::BTreeMap, io, sync::Arc};

use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weir_config::checked::{self, UpstreamProtocol};

use super::{Cluster, Endpoint, endpoint::Target};
use crate::{
    error::{Error, Failure},
    stream::{Io, Raw, Transport},
    telemetry::metrics::{PeerRefusal, SHARED},
    tls::{ClientTls, Refused},
};

/// An endpoint of config with its name resolved.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// As config writes it.
    pub name: Arc<str>,
    /// As config writes it: the name that a certificate must have.
    pub address: checked::Address,
    /// Where to connect to.
    pub target: Target,
    /// From config.
    pub weight: u32,
    /// From config.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// From config.
    pub priority: u32,
}

impl Resolved {
    /// Resolves the endpoints of a cluster; a name may stand for several addresses, each one an endpoint.
    pub fn all(cluster: &checked::Cluster) -> io::Result<Vec<Self>> {
        let mut all = Vec::with_capacity(cluster.endpoints.len());
        for endpoint in &cluster.endpoints {
            let mut add = |name: String, target| {
                let (weight, priority, labels) =
                    (endpoint.weight, endpoint.priority, endpoint.labels.clone());
                let address = endpoint.address.clone();
                all.push(Self { name: name.into(), address, target, weight, labels, priority });
            };
            match &endpoint.address {
                checked::Address::Tcp(address) => add(address.to_string(), Target::Tcp(*address)),
                checked::Address::Unix(path) => {
                    add(format!("unix:{}", path.display()), Target::Unix(path.clone()));
                }
                checked::Address::Name { host, port } => {
                    let found = std::net::ToSocketAddrs::to_socket_addrs(&(&**host, *port))
                        .map_err(|error| io::Error::new(error.kind(), format!("{host}: {error}")))?;
                    let mut found: Vec<_> = found.collect();
                    found.sort();
                    found.dedup();
                    found.into_iter().for_each(|address| add(address.to_string(), Target::Tcp(address)));
                }
            }
        }
        Ok(all)
    }
}

/// A fresh connection.
#[derive(Debug)]
pub enum Connected {
    /// Speaks HTTP/1.1.
    H1(Io),
    /// Speaks HTTP/2.
    H2(Io),
}

impl Connected {
    /// A connection that belongs to no pool. The caller bounds the time.
    pub async fn to(cluster: &Cluster, endpoint: &Endpoint) -> Result<Self, Error> {
        connect(cluster, endpoint).await
    }
}

/// Connects to `endpoint`. The caller bounds the time.
pub(super) async fn connect(cluster: &Cluster, endpoint: &Endpoint) -> Result<Connected, Error> {
    let raw = open(&endpoint.target).await.map_err(|error| refused(&error))?;
    let protocol = cluster.config.protocol;
    let Some(tls) = &cluster.tls else {
        let io = Io::new(raw.into());
        return Ok(if protocol == UpstreamProtocol::H2 { Connected::H2(io) } else { Connected::H1(io) });
    };
    let name = tls.server_name(&endpoint.address);
    let Some(name) = name else {
        return Err(Error::new(Failure::UpstreamTls, "no server_name for a Unix socket"));
    };
    let stream = match secured(cluster, tls, name.clone(), raw).await? {
        Ok(stream) => stream,
        // A session of somebody who has another certificate by now: the next handshake is a full one.
        Err(_) => {
            let raw = open(&endpoint.target).await.map_err(|error| refused(&error))?;
            secured(cluster, tls, name, raw).await?.map_err(|stale| counted(cluster, &stale))?
        }
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if protocol == UpstreamProtocol::H2 && !h2 {
        return Err(Error::new(Failure::UpstreamTls, "the endpoint does not offer h2"));
    }
    let io = Io::new(Transport::TlsClient(Box::new(stream)));
    Ok(if h2 { Connected::H2(io) } else { Connected::H1(io) })
}

/// TLS on a connection. The inner error: the endpoint was known before, and may not be who it was.
async fn secured(
    cluster: &Cluster,
    tls: &ClientTls,
    name: ServerName<'static>,
    raw: Raw,
) -> Result<Result<TlsStream<Raw>, Refused>, Error> {
    if tls.config().is_none() {
        tls.arrival().await;
    }
    let Some(config) = tls.config() else {
        return Err(counted(cluster, &Refused::of(PeerRefusal::NoIdentity)));
    };
    match TlsConnector::from(config).connect(name, raw).await {
        Ok(stream) => Ok(tls.settle(stream.get_ref().1).map(|()| stream)),
        Err(error) => Err(match Refused::by_handshake(&error) {
            Some(refused) => {
                let Error { failure, detail } = counted(cluster, &refused);
                Error::with(failure, format!("{detail}: {error}"))
            }
            None => Error::with(Failure::UpstreamTls, error.to_string()),
        }),
    }
}

/// An endpoint that is refused is one that cannot be connected to.
fn counted(cluster: &Cluster, refused: &Refused) -> Error {
    cluster.metrics.tls_refusals.one(SHARED, refused.reason);
    Error::with(Failure::UpstreamTls, refused.to_string())
}

async fn open(target: &Target) -> io::Result<Raw> {
    match target {
        Target::Tcp(address) => {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            Ok(Raw::Tcp(tcp))
        }
        Target::Unix(path) => Ok(Raw::Unix(UnixStream::connect(path).await?)),
    }
}

fn refused(error: &io::Error) -> Error {
    let failure = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Failure::ConnectRefused,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::ConnectFailed,
    };
    Error::with(failure, error.to_string())
}
