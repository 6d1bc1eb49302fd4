//! [`ConnectionInfo`]: what is known of a caller before it says anything.

use std::{net::SocketAddr, sync::Arc};

use weir_config::checked::ClusterId;

use super::Scheme;
use crate::proxy_protocol::{Addresses, Told};

/// A cluster that exchanges go to if no filter says otherwise, and its name.
pub type Home = (ClusterId, Arc<str>);

/// A downstream connection, as its exchanges see it.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The listener it came in at.
    pub listener: Arc<str>,
    /// Where it comes from; none for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Where it meant to go, if another proxy said so, or the system led it here.
    pub destination: Option<SocketAddr>,
    /// The system led it here.
    pub captured: bool,
    /// Config names the port that it was going to: that one is open on loopback.
    pub by_port: bool,
    /// Where its exchanges go if no filter says otherwise; none: where the listener's go.
    pub home: Option<Home>,
    /// IP address of the peer as text, or `unix`.
    pub peer_text: Box<str>,
    /// `https` if TLS ends here.
    pub scheme: Scheme,
    /// The name the caller asked for in TLS.
    pub sni: Option<Box<str>>,
    /// URI SAN of the caller's certificate.
    pub identity: Option<Box<str>>,
}

impl ConnectionInfo {
    /// Where it can go on to: what other proxies say of destinations is for endpoints to know, and leads nowhere.
    pub fn goes_on_to(&self) -> Option<SocketAddr> {
        self.destination.filter(|_| self.captured)
    }

    /// What an endpoint is told of it (PROXY protocol); `local` is where it came in, as far as that is known.
    pub fn told(&self, local: Option<SocketAddr>) -> Told {
        let unspecified = |peer: SocketAddr| -> SocketAddr {
            if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() }
        };
        self.peer.map_or(Told::Unknown, |source| {
            let destination = self.destination.or(local).unwrap_or_else(|| unspecified(source));
            Told::Caller(Addresses { source, destination })
        })
    }

    /// A connection without TLS.
    pub fn plain(listener: Arc<str>, peer: Option<SocketAddr>) -> Self {
        let peer_text = peer.map_or_else(|| "unix".into(), |p| p.ip().to_canonical().to_string().into());
        Self {
            listener,
            peer,
            destination: None,
            captured: false,
            by_port: false,
            home: None,
            peer_text,
            scheme: Scheme::Http,
            sni: None,
            identity: None,
        }
    }
}
