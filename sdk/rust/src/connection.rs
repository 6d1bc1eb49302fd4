//! Deciding on a connection before anything is served on it: what is known of it, and the verdict.

use crate::setup::Cluster;
use crate::text::Text;

/// An IP address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<'a> {
    /// IPv4 or IPv6, without brackets.
    pub ip: &'a str,
    /// The port.
    pub port: u16,
}

/// What is spoken on a connection, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Unknown, or not looked at: bytes go to the cluster as they come.
    Tcp,
    /// TLS that does not end at the proxy.
    Tls,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connection that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    pub(crate) listener: &'a str,
    pub(crate) protocol: Protocol,
    pub(crate) secure: bool,
    pub(crate) peer: Option<Address<'a>>,
    pub(crate) local: Option<Address<'a>>,
    pub(crate) destination: Option<Address<'a>>,
    pub(crate) sni: Option<&'a str>,
    pub(crate) identity: Option<&'a str>,
}

impl<'a> Connection<'a> {
    /// The listener's name in config.
    pub fn listener(&self) -> &'a str {
        self.listener
    }

    /// What is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// TLS ended at the proxy.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The caller; that which another proxy told, where config believes it. None on a Unix socket.
    pub fn peer(&self) -> Option<Address<'a>> {
        self.peer
    }

    /// Where the connection came in. None on a Unix socket.
    pub fn local(&self) -> Option<Address<'a>> {
        self.local
    }

    /// Where the caller meant to go, if that is known (captured traffic, PROXY protocol).
    pub fn destination(&self) -> Option<Address<'a>> {
        self.destination
    }

    /// The name asked for in TLS, in lower case.
    pub fn sni(&self) -> Option<&'a str> {
        self.sni
    }

    /// URI SAN of the caller's certificate, verified. None where none was asked for or shown.
    pub fn identity(&self) -> Option<&'a str> {
        self.identity
    }
}

/// What becomes of a connection. Built by [`Verdict::pass`], [`Verdict::to`] or [`Verdict::refuse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on; with a cluster, to that one.
    Pass(Option<Cluster>),
    /// It is closed, for this reason.
    Refuse(Text),
}

impl Verdict {
    /// Let it go on, to the cluster that earlier filters or config say.
    pub fn pass() -> Self {
        Verdict::Pass(None)
    }

    /// Let it go on, to this cluster. For HTTP that is where its exchanges go that no filter routes.
    pub fn to(cluster: Cluster) -> Self {
        Verdict::Pass(Some(cluster))
    }

    /// Close it. The reason is for the log; the caller is told nothing.
    pub fn refuse(reason: impl Into<Text>) -> Self {
        Verdict::Refuse(reason.into())
    }

    /// Whether it goes on.
    pub fn passes(&self) -> bool {
        matches!(self, Verdict::Pass(_))
    }

    /// The cluster that was chosen.
    pub fn cluster(&self) -> Option<Cluster> {
        if let Verdict::Pass(cluster) = self { *cluster } else { None }
    }

    /// Why it is closed.
    pub fn reason(&self) -> Option<&str> {
        if let Verdict::Refuse(reason) = self { Some(reason) } else { None }
    }
}
