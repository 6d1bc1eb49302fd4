//! Opening a connection to an endpoint: socket, TLS, and which HTTP it will speak.

use std::io;

use rustls_pki_types::ServerName;
use tokio::{io::AsyncWriteExt, net::UnixStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weir_config::checked::{ProxyProtocolVersion, UpstreamProtocol};

use super::{Cluster, Endpoint, Target};
use crate::{
    capture::circle,
    error::{Error, Failure},
    proxy_protocol::{Told, write_v1, write_v2},
    stream::{Io, Raw, Transport},
    telemetry::metrics::{PeerRefusal, SHARED},
    tls::{ClientTls, HTTP_1_1, Refused},
};

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
        connect(cluster, endpoint, Purpose::Pool).await
    }
}

/// What a connection is made for, and so what it offers to speak and says of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Exchanges, one after the other or at once: what the cluster speaks.
    Pool,
    /// One exchange that may become something else: HTTP/1.1.
    Own,
    /// Bytes of which nothing is known, and whose they are.
    Bytes(Told),
}

/// Connects to `endpoint`. The caller bounds the time.
pub(super) async fn connect(
    cluster: &Cluster,
    endpoint: &Endpoint,
    purpose: Purpose,
) -> Result<Connected, Error> {
    let raw = reached(cluster, endpoint, purpose).await?;
    let protocol = cluster.config.protocol;
    let Some(tls) = &cluster.tls else {
        let io = Io::new(raw.into());
        let h2 = protocol == UpstreamProtocol::H2 && purpose == Purpose::Pool;
        return Ok(if h2 { Connected::H2(io) } else { Connected::H1(io) });
    };
    let name = tls.server_name(&endpoint.address);
    let Some(name) = name else {
        return Err(Error::new(Failure::UpstreamTls, "no server_name for a Unix socket"));
    };
    // Boxed: whoever waits for a connection need not carry a handshake.
    let stream = match Box::pin(secured(cluster, tls, name.clone(), raw, purpose)).await? {
        Ok(stream) => stream,
        // A session of somebody who has another certificate by now: the next handshake is a full one.
        Err(_) => {
            let raw = reached(cluster, endpoint, purpose).await?;
            Box::pin(secured(cluster, tls, name, raw, purpose))
                .await?
                .map_err(|stale| counted(cluster, &stale))?
        }
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if protocol == UpstreamProtocol::H2 && purpose == Purpose::Pool && !h2 {
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
    purpose: Purpose,
) -> Result<Result<TlsStream<Raw>, Refused>, Error> {
    if tls.config().is_none() {
        // Long before the caller's patience ends, so that the reason is told and another endpoint can be tried.
        let _ = tokio::time::timeout(cluster.config.connect_timeout / 2, tls.arrival()).await;
    }
    let Some(config) = tls.config() else {
        return Err(counted(cluster, &Refused::of(PeerRefusal::NoIdentity)));
    };
    let connector = TlsConnector::from(config);
    let connected = match purpose {
        Purpose::Pool if cluster.config.protocol != UpstreamProtocol::H1 => {
            connector.connect(name, raw).await
        }
        Purpose::Pool | Purpose::Own => connector.with_alpn(vec![HTTP_1_1.to_vec()]).connect(name, raw).await,
        Purpose::Bytes(_) => connector.with_alpn(Vec::new()).connect(name, raw).await,
    };
    match connected {
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

/// A connection to the endpoint that says whose it is, where the cluster wants that said.
async fn reached(cluster: &Cluster, endpoint: &Endpoint, purpose: Purpose) -> Result<Raw, Error> {
    let mut raw = open(&endpoint.target).await.map_err(|error| refused(&error))?;
    if let Some(version) = cluster.config.proxy_protocol {
        introduce(&mut raw, version, purpose).await.map_err(|error| refused(&error))?;
    }
    Ok(raw)
}

/// Says whose the connection is, before all else (PROXY protocol).
async fn introduce(raw: &mut Raw, version: ProxyProtocolVersion, purpose: Purpose) -> io::Result<()> {
    let told = match purpose {
        Purpose::Bytes(told) => told,
        // Shared by callers, or tried before it is known whose it will be.
        Purpose::Pool | Purpose::Own => Told::Own,
    };
    let header = match version {
        ProxyProtocolVersion::V1 => write_v1(told),
        ProxyProtocolVersion::V2 => write_v2(told),
    };
    raw.write_all(&header).await
}

async fn open(target: &Target) -> io::Result<Raw> {
    match target {
        Target::Tcp(address) => {
            let tcp = circle::connect(*address).await?;
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
