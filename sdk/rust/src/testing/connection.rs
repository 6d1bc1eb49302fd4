//! A connection in a test.

use super::check;
use super::filter::Filter;
use crate::connection::{Address, Connection, Protocol, Verdict};
use crate::policy::{Hooks, Policy};

/// A connection under construction: TCP without TLS, from 127.0.0.1, at the listener `test`, unless said otherwise.
pub struct ConnectionBuilder<P: Policy> {
    filter: Filter<P>,
    listener: String,
    protocol: Protocol,
    secure: bool,
    peer: Option<(String, u16)>,
    local: Option<(String, u16)>,
    destination: Option<(String, u16)>,
    sni: Option<String>,
    identity: Option<String>,
}

impl<P: Policy> ConnectionBuilder<P> {
    pub(super) fn new(filter: Filter<P>) -> Self {
        ConnectionBuilder {
            filter,
            listener: "test".to_owned(),
            protocol: Protocol::Tcp,
            secure: false,
            peer: Some(("127.0.0.1".to_owned(), 40_000)),
            local: Some(("127.0.0.1".to_owned(), 8_080)),
            destination: None,
            sni: None,
            identity: None,
        }
    }

    /// The listener's name.
    pub fn listener(mut self, name: &str) -> Self {
        self.listener = name.to_owned();
        self
    }

    /// What is spoken.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The caller's address.
    pub fn peer(mut self, ip: &str, port: u16) -> Self {
        self.peer = Some((ip.to_owned(), port));
        self
    }

    /// It came in on a Unix socket: there are no addresses.
    pub fn unix(mut self) -> Self {
        (self.peer, self.local, self.destination) = (None, None, None);
        self
    }

    /// Where it came in.
    pub fn local(mut self, ip: &str, port: u16) -> Self {
        self.local = Some((ip.to_owned(), port));
        self
    }

    /// Where the caller meant to go.
    pub fn destination(mut self, ip: &str, port: u16) -> Self {
        self.destination = Some((ip.to_owned(), port));
        self
    }

    /// TLS ended at the proxy.
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// The name asked for in TLS, which passes or ends at the proxy.
    pub fn sni(mut self, name: &str) -> Self {
        self.sni = Some(name.to_owned());
        self
    }

    /// Who the caller is, by a certificate; TLS ended at the proxy.
    pub fn identity(mut self, identity: &str) -> Self {
        self.identity = Some(identity.to_owned());
        self.secure()
    }

    /// Returns what `on_connection` decides; a plain pass if the filter does not want to be asked.
    pub fn send(self) -> Verdict {
        let setup = self.filter.setup();
        if !setup.hooks.contains(Hooks::CONNECTION) {
            return Verdict::pass();
        }
        let connection = Connection {
            listener: &self.listener,
            protocol: self.protocol,
            secure: self.secure,
            peer: address(&self.peer),
            local: address(&self.local),
            destination: address(&self.destination),
            sni: self.sni.as_deref(),
            identity: self.identity.as_deref(),
        };
        let verdict = self.filter.enter(None, |policy| policy.on_connection(&connection));
        check::verdict(&verdict, setup.clusters.len());
        verdict
    }
}

fn address(of: &Option<(String, u16)>) -> Option<Address<'_>> {
    of.as_ref().map(|(ip, port)| Address { ip, port: *port })
}
