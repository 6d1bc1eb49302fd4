//! TLS towards endpoints: what a cluster expects of them, and shows to them.

mod identity;
mod names;

use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, client::Resumption};
use rustls_pki_types::ServerName;
use weir_config::checked::{Address, UpstreamProtocol, UpstreamTls};

use super::{H2, HTTP_1_1, TlsError, TlsFault, refusal::Refused};
use crate::identity::Identity;
use identity::Expected;
use names::Names;

pub use names::Renewed;

/// Endpoints of one cluster whose sessions are kept for resumption.
const SESSIONS: usize = 256;

/// What a cluster expects of its endpoints and shows to them.
pub struct ClientTls {
    kind: Kind,
    server_name: Option<ServerName<'static>>,
}

enum Kind {
    Names(Names),
    Identity(Box<Expected>),
}

impl ClientTls {
    /// Reads and checks the files; `identity` finds one by its name.
    pub fn load(
        spec: &UpstreamTls,
        protocol: UpstreamProtocol,
        identity: impl FnOnce(&str) -> Option<Arc<Identity>>,
    ) -> Result<Self, TlsError> {
        let (kind, name) = match spec {
            UpstreamTls::Names(spec) => (Kind::Names(Names::load(spec, protocol)?), &spec.server_name),
            UpstreamTls::Identity(spec) => {
                let found = identity(&spec.identity).ok_or_else(|| TlsError::no_identity(&spec.identity))?;
                (Kind::Identity(Box::new(Expected::load(spec, protocol, found)?)), &spec.server_name)
            }
        };
        Ok(Self { kind, server_name: server_name(name.as_deref())? })
    }

    /// For the next handshake. None: the identity has not come yet.
    pub fn config(&self) -> Option<Arc<ClientConfig>> {
        match &self.kind {
            Kind::Names(names) => Some(names.config()),
            Kind::Identity(expected) => expected.config(),
        }
    }

    /// Waits for an identity that is new. The caller bounds the time.
    pub async fn arrival(&self) {
        if let Kind::Identity(expected) = &self.kind {
            expected.arrival().await;
        }
    }

    /// Looks at who the endpoint is, after a handshake. Of a session that was resumed, more may be wrong than
    /// of a new one: then all sessions are forgotten, and another try is a full handshake.
    pub fn settle(&self, connection: &ClientConnection) -> Result<(), Refused> {
        match &self.kind {
            Kind::Names(_) => Ok(()),
            Kind::Identity(expected) => expected.settle(connection),
        }
    }

    /// The name to ask for, and, where endpoints are known by names, to find in their certificates: the
    /// configured one, else the host of the endpoint's address as it was configured, not as it was resolved.
    /// None for a Unix socket when no name is configured and one is needed: there is nothing to compare with.
    pub fn server_name(&self, endpoint: &Address) -> Option<ServerName<'static>> {
        match (&self.server_name, endpoint) {
            (Some(name), _) => Some(name.clone()),
            (None, Address::Tcp(address)) => Some(address.ip().into()),
            (None, Address::Name { host, .. }) => ServerName::try_from(host.to_string()).ok(),
            // An address is never sent.
            (None, Address::Unix(_) | Address::Srv { .. }) => match self.kind {
                Kind::Names(_) => None,
                Kind::Identity(_) => Some(std::net::IpAddr::from([0, 0, 0, 0]).into()),
            },
        }
    }

    /// Reads the files again and checks them. None: they are as they were, or there are none: an identity's
    /// files are its own concern.
    pub fn read_again(&self) -> Result<Option<Renewed>, TlsError> {
        match &self.kind {
            Kind::Names(names) => names.read_again(),
            Kind::Identity(_) => Ok(None),
        }
    }

    /// Puts what was read in force, for handshakes to come; connections that stand are not touched.
    pub fn adopt(&self, renewed: &Renewed) {
        if let Kind::Names(names) = &self.kind {
            names.adopt(renewed);
        }
    }
}

/// ALPN for what a cluster speaks.
fn offer(protocol: UpstreamProtocol) -> Vec<Vec<u8>> {
    match protocol {
        UpstreamProtocol::H1 => vec![HTTP_1_1.to_vec()],
        UpstreamProtocol::H2 => vec![H2.to_vec()],
        UpstreamProtocol::Auto => vec![H2.to_vec(), HTTP_1_1.to_vec()],
    }
}

/// None yet.
fn sessions() -> Resumption {
    Resumption::in_memory_sessions(SESSIONS)
}

fn server_name(name: Option<&str>) -> Result<Option<ServerName<'static>>, TlsError> {
    let Some(name) = name else { return Ok(None) };
    match ServerName::try_from(name.to_owned()) {
        Ok(name) => Ok(Some(name)),
        Err(_) => Err(TlsError::new("server_name", TlsFault::ServerName(name.to_owned()))),
    }
}
