//! [`ConnectionInfo`]: what is known of a caller before it says anything.

use std::{net::SocketAddr, sync::Arc};

use super::Scheme;

/// A downstream connection, as its exchanges see it.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The listener it came in at.
    pub listener: Arc<str>,
    /// Where it comes from; none for a Unix socket.
    pub peer: Option<SocketAddr>,
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
    /// A connection without TLS.
    pub fn plain(listener: Arc<str>, peer: Option<SocketAddr>) -> Self {
        let peer_text = peer.map_or_else(|| "unix".into(), |p| p.ip().to_canonical().to_string().into());
        Self { listener, peer, peer_text, scheme: Scheme::Http, sni: None, identity: None }
    }
}
