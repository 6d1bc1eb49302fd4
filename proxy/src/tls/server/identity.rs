//! TLS towards callers with an identity: the SVID in force is shown, and that of callers checked.
//!
//! Nothing of the identity is copied here but what sessions depend on: at each handshake the SVID of that moment
//! is shown and the bundle of that moment believed.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection,
    crypto::aws_lc_rs::Ticketer,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use weir_config::{
    checked::{ListenerIdentity, Mtls},
    spiffe::SpiffeId,
};

use super::{
    super::{TlsError, TlsFault, provider, refusal::Refused, verifier::PeerCheck, versions},
    offer,
};
use crate::identity::Identity;

/// A listener's identity.
pub(super) struct Shown {
    mtls: Mtls,
    identity: Arc<Identity>,
    check: Arc<PeerCheck>,
    /// All but the tickets.
    template: ServerConfig,
    current: ArcSwapOption<Current>,
}

/// The configuration for one set of authorities.
struct Current {
    config: Arc<ServerConfig>,
    trust: [u8; 32],
}

impl Shown {
    pub(super) fn load(spec: &ListenerIdentity, identity: Arc<Identity>) -> Result<Self, TlsError> {
        let refused = |reason: String| TlsError::new(&*spec.identity, TlsFault::Refused(reason));
        let check = PeerCheck::new(Arc::clone(&identity), spec.peers.clone());
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(spec.allow_tls12))
            .map_err(|error| refused(error.to_string()))?;
        let builder = match spec.mtls {
            Mtls::None => builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()),
            Mtls::Require | Mtls::Permissive => builder.with_client_cert_verifier(check.clone()),
        };
        let template = builder.with_cert_resolver(Arc::new(Resolver(Arc::clone(&identity))));
        Ok(Self { mtls: spec.mtls, identity, check, template, current: ArcSwapOption::empty() })
    }

    pub(super) fn mtls(&self) -> Mtls {
        self.mtls
    }

    pub(super) async fn arrival(&self) {
        self.identity.first().await;
    }

    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        let svid = self.identity.current()?;
        let is_right = |current: &Arc<Current>| current.trust == *svid.trust();
        if let Some(current) = self.current.load().as_ref().filter(|current| is_right(current)) {
            return Some(Arc::clone(&current.config));
        }
        // A ticket vouches for the SVID its owner once showed: other authorities, other tickets. Workers may
        // come here at once; all take what the first of them made.
        let mut config = self.template.clone();
        offer(&mut config, Ticketer::new().ok()?);
        let made = Arc::new(Current { config: Arc::new(config), trust: *svid.trust() });
        self.current.rcu(|known| known.clone().filter(is_right).or_else(|| Some(Arc::clone(&made))));
        let current = self.current.load();
        current.as_ref().map(|current| Arc::clone(&current.config))
    }

    /// Who called; none: nobody was asked.
    pub(super) fn caller(&self, connection: &ServerConnection) -> Result<Option<SpiffeId>, Refused> {
        if self.mtls == Mtls::None {
            return Ok(None);
        }
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let caller = self.check.known(connection.peer_certificates());
        if resumed && let Err(refused) = &caller {
            tracing::debug!(identity = &**self.identity.name(), %refused, "a caller's session is refused");
        }
        caller.map(Some)
    }
}

/// Shows the SVID in force.
#[derive(Debug)]
struct Resolver(Arc<Identity>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.current().map(|svid| Arc::clone(svid.certified()))
    }
}
