//! Whether the other side is who it may be: the check of X.509-SVIDs, the same for callers and endpoints.
//!
//! Names are not looked at; the SPIFFE ID is what a workload is known by, and only authorities of its own trust
//! domain may vouch for it (SPIFFE X.509-SVID 5.2).

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use weir_config::spiffe::{SpiffeId, SpiffePattern};

use super::{provider, refusal::Refused};
use crate::{
    identity::{Identity, svid},
    telemetry::metrics::PeerRefusal,
};

/// What the other side has to be.
pub(super) struct PeerCheck {
    identity: Arc<Identity>,
    /// Empty: any workload of our own trust domain.
    allowed: Vec<SpiffePattern>,
}

/// Not derived: what holds a private key is nothing for logs.
impl fmt::Debug for PeerCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCheck").field("identity", self.identity.name()).finish_non_exhaustive()
    }
}

impl PeerCheck {
    pub(super) fn new(identity: Arc<Identity>, allowed: Vec<SpiffePattern>) -> Arc<Self> {
        Arc::new(Self { identity, allowed })
    }

    /// Who a chain is that was verified before: whether it still holds, and may still call, is looked at again.
    /// This is all that a resumed session is asked; with new authorities there are none.
    pub(super) fn known(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<SpiffeId, Refused> {
        let first = chain.and_then(<[_]>::first).ok_or(Refused::of(PeerRefusal::Missing))?;
        let leaf = svid::leaf(first).map_err(Refused::no_svid)?;
        let now = svid::unix_now();
        if now > leaf.not_after {
            return Err(Refused::of(PeerRefusal::Expired));
        }
        if now < leaf.not_before {
            return Err(Refused::of(PeerRefusal::NotYetValid));
        }
        self.allow(&leaf.id)?;
        Ok(leaf.id)
    }

    fn verify(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: webpki::KeyUsage,
    ) -> Result<(), rustls::Error> {
        self.verified(first, others, now, usage).map_err(|refused| {
            tracing::debug!(identity = &**self.identity.name(), %refused, "a peer's certificate is refused");
            refused.into()
        })
    }

    fn verified(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: webpki::KeyUsage,
    ) -> Result<(), Refused> {
        let own = self.identity.current().ok_or(Refused::of(PeerRefusal::NoIdentity))?;
        let id = svid::leaf(first).map_err(Refused::no_svid)?.id;
        let Some(authorities) = own.authorities(id.trust_domain()) else {
            return Err(Refused::with(PeerRefusal::Foreign, id));
        };
        let refused = |error| Refused::by_path(&error);
        let algorithms = provider().signature_verification_algorithms.all;
        let certificate = webpki::EndEntityCert::try_from(first).map_err(refused)?;
        certificate
            .verify_for_usage(algorithms, authorities, others, now, usage, None, None)
            .map_err(refused)?;
        self.allow(&id)
    }

    fn allow(&self, id: &SpiffeId) -> Result<(), Refused> {
        let own = || self.identity.current().is_some_and(|own| own.id().trust_domain() == id.trust_domain());
        let allowed = match self.allowed.as_slice() {
            [] => own(),
            some => some.iter().any(|pattern| pattern.matches(id)),
        };
        if allowed { Ok(()) } else { Err(Refused::with(PeerRefusal::WrongIdentity, id.clone())) }
    }
}

impl ClientCertVerifier for PeerCheck {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(first, others, now, webpki::KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for PeerCheck {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(first, others, now, webpki::KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// In the TLS library's words, which become the alert that the other side is sent.
impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        let error = match refused.reason {
            PeerRefusal::Expired => CertificateError::Expired,
            PeerRefusal::NotYetValid => CertificateError::NotValidYet,
            PeerRefusal::Foreign => CertificateError::UnknownIssuer,
            PeerRefusal::WrongPurpose => CertificateError::InvalidPurpose,
            PeerRefusal::WrongIdentity => CertificateError::ApplicationVerificationFailure,
            PeerRefusal::Malformed => CertificateError::BadEncoding,
            PeerRefusal::Missing => return Self::NoCertificatesPresented,
            PeerRefusal::PlainText | PeerRefusal::NoIdentity => {
                return Self::General(refused.reason.text().to_owned());
            }
        };
        Self::InvalidCertificate(error)
    }
}
