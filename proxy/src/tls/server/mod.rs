//! TLS towards callers: what a listener shows, what it asks of them, and what a handshake came to.

mod certificates;
mod identity;

use std::{io, sync::Arc};

use rustls::{
    HandshakeKind, ServerConfig, ServerConnection,
    server::{NoServerSessionStorage, ProducesTickets},
};
use weir_config::checked::{ListenerTls, Mtls};

use super::{H2, HTTP_1_1, PeerIdentity, TlsError, refusal::Refused};
use crate::{identity::Identity, telemetry::metrics::Handshake};
use certificates::Certificates;
use identity::Shown;

pub use certificates::Renewed;

/// What a listener shows to its callers.
pub struct ServerTls(Kind);

enum Kind {
    Certificates(Certificates),
    Identity(Box<Shown>),
}

impl ServerTls {
    /// Reads and checks the files; `identity` finds one by its name.
    pub fn load(
        spec: &ListenerTls,
        identity: impl FnOnce(&str) -> Option<Arc<Identity>>,
    ) -> Result<Self, TlsError> {
        Ok(Self(match spec {
            ListenerTls::Certificates(spec) => Kind::Certificates(Certificates::load(spec)?),
            ListenerTls::Identity(spec) => {
                let found = identity(&spec.identity).ok_or_else(|| TlsError::no_identity(&spec.identity))?;
                Kind::Identity(Box::new(Shown::load(spec, found)?))
            }
        }))
    }

    /// For the next handshake. None: the identity has not come yet.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        match &self.0 {
            Kind::Certificates(certificates) => Some(certificates.config()),
            Kind::Identity(shown) => shown.config(),
        }
    }

    /// Waits for an identity that is new. The caller bounds the time.
    pub async fn arrival(&self) {
        if let Kind::Identity(shown) = &self.0 {
            shown.arrival().await;
        }
    }

    /// Plain text is served here as well.
    pub fn takes_plain(&self) -> bool {
        matches!(&self.0, Kind::Identity(shown) if shown.mtls() == Mtls::Permissive)
    }

    /// What a complete handshake came to. A session that was resumed may be of somebody who may not call any
    /// more.
    pub fn settle(&self, connection: &ServerConnection) -> Result<Settled, Refused> {
        let mut settled = Settled::of(connection);
        if let Kind::Identity(shown) = &self.0 {
            settled.identity = shown.caller(connection)?.map(|id| id.as_str().into());
        }
        Ok(settled)
    }

    /// Reads the files again and checks them. None: they are as they were, or there are none: an identity's
    /// files are its own concern.
    pub fn read_again(&self) -> Result<Option<Renewed>, TlsError> {
        match &self.0 {
            Kind::Certificates(certificates) => certificates.read_again(),
            Kind::Identity(_) => Ok(None),
        }
    }

    /// Puts what was read in force, for handshakes to come; connections that stand are not touched.
    pub fn adopt(&self, renewed: &Renewed) {
        if let Kind::Certificates(certificates) = &self.0 {
            certificates.adopt(renewed);
        }
    }
}

/// What all listeners offer, and how sessions are resumed: from what the caller brings, so that every worker
/// can, and nothing is kept here.
fn offer(config: &mut ServerConfig, tickets: Arc<dyn ProducesTickets>) {
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
}

/// What a handshake settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The name the caller asked for, in lower case.
    pub sni: Option<Arc<str>>,
    /// HTTP/2 was agreed on; else it is HTTP/1.1, agreed on or by default.
    pub http2: bool,
    /// Who the caller is, as policies see it: the URI in its certificate.
    pub identity: Option<Box<str>>,
    /// As metrics count it.
    pub kind: Handshake,
}

impl Settled {
    /// Reads a connection whose handshake is complete.
    fn of(connection: &ServerConnection) -> Self {
        let peer = connection.peer_certificates().and_then(PeerIdentity::of);
        Settled {
            sni: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
            http2: connection.alpn_protocol() == Some(H2),
            identity: peer.and_then(|peer| peer.uri).map(|uri| (*uri).into()),
            kind: match connection.handshake_kind() {
                Some(HandshakeKind::Resumed) => Handshake::Resumed,
                _ => Handshake::Full,
            },
        }
    }
}

/// How metrics count a handshake that failed.
pub fn failed_handshake(error: &io::Error) -> Handshake {
    if error.kind() == io::ErrorKind::TimedOut {
        return Handshake::Timeout;
    }
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match error {
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
            Handshake::ClientCertificate
        }
        _ => Handshake::Failed,
    }
}
