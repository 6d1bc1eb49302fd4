//! TLS towards endpoints that are known by their identities, with our own shown to them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, SignatureScheme, client::ResolvesClientCert,
    sign::CertifiedKey,
};
use weir_config::checked::{UpstreamIdentity, UpstreamProtocol};

use super::{
    super::{TlsError, TlsFault, provider, refusal::Refused, verifier::PeerCheck, versions},
    offer, sessions,
};
use crate::identity::Identity;

/// What a cluster expects.
pub(super) struct Expected {
    identity: Arc<Identity>,
    check: Arc<PeerCheck>,
    /// All but the sessions.
    template: ClientConfig,
    current: ArcSwapOption<Current>,
}

/// The configuration for one SVID of ours: a session is resumed as whoever began it, with authorities as they
/// were then.
struct Current {
    config: Arc<ClientConfig>,
    svid: [u8; 32],
}

impl Expected {
    pub(super) fn load(
        spec: &UpstreamIdentity,
        protocol: UpstreamProtocol,
        identity: Arc<Identity>,
    ) -> Result<Self, TlsError> {
        let refused = |reason: String| TlsError::new(&*spec.identity, TlsFault::Refused(reason));
        let check = PeerCheck::new(Arc::clone(&identity), spec.expect.clone());
        let mut template = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(spec.allow_tls12))
            .map_err(|error| refused(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(check.clone())
            .with_client_cert_resolver(Arc::new(Resolver(Arc::clone(&identity))));
        template.alpn_protocols = offer(protocol);
        Ok(Self { identity, check, template, current: ArcSwapOption::empty() })
    }

    pub(super) async fn arrival(&self) {
        self.identity.first().await;
    }

    pub(super) fn config(&self) -> Option<Arc<ClientConfig>> {
        let svid = self.identity.current()?;
        let is_right = |current: &Arc<Current>| current.svid == *svid.digest();
        if let Some(current) = self.current.load().as_ref().filter(|current| is_right(current)) {
            return Some(Arc::clone(&current.config));
        }
        let mut config = self.template.clone();
        config.resumption = sessions();
        let made = Arc::new(Current { config: Arc::new(config), svid: *svid.digest() });
        // Workers may come here at once; all take what the first of them made.
        self.current.rcu(|known| known.clone().filter(is_right).or_else(|| Some(Arc::clone(&made))));
        let current = self.current.load();
        current.as_ref().map(|current| Arc::clone(&current.config))
    }

    /// A full handshake was judged by its own check.
    pub(super) fn settle(&self, connection: &ClientConnection) -> Result<(), Refused> {
        if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
            return Ok(());
        }
        let known = self.check.known(connection.peer_certificates());
        if let Err(refused) = &known {
            tracing::debug!(identity = &**self.identity.name(), %refused, "an endpoint's session is given up");
            self.current.store(None);
        }
        known.map(drop)
    }
}

/// Shows the SVID in force.
#[derive(Debug)]
struct Resolver(Arc<Identity>);

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let svid = self.0.current()?;
        let usable = svid.certified().key.choose_scheme(schemes).is_some();
        usable.then(|| Arc::clone(svid.certified()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
