//! Why the other side of a handshake was refused, by a fixed list of reasons that metrics count.

use std::{fmt, io};

use rustls::{CertificateError, InvalidMessage};
use weir_config::spiffe::SpiffeId;

use crate::telemetry::metrics::PeerRefusal;

/// A peer that was refused.
#[derive(Debug)]
pub struct Refused {
    /// What is counted.
    pub reason: PeerRefusal,
    /// Who it said to be, where that was found out.
    id: Option<SpiffeId>,
    detail: Option<&'static str>,
}

impl Refused {
    /// Nothing is known but the reason.
    pub fn of(reason: PeerRefusal) -> Self {
        Self { reason, id: None, detail: None }
    }

    pub(super) fn with(reason: PeerRefusal, id: SpiffeId) -> Self {
        Self { reason, id: Some(id), detail: None }
    }

    /// The certificate is not one of a workload.
    pub(super) fn no_svid(why: &'static str) -> Self {
        Self { reason: PeerRefusal::WrongPurpose, id: None, detail: Some(why) }
    }

    /// There is no way from the certificate to an authority.
    pub(super) fn by_path(error: &webpki::Error) -> Self {
        use webpki::Error as E;
        Self::of(match error {
            E::CertExpired { .. } | E::InvalidCertValidity => PeerRefusal::Expired,
            E::CertNotValidYet { .. } => PeerRefusal::NotYetValid,
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension | E::CaUsedAsEndEntity => {
                PeerRefusal::WrongPurpose
            }
            E::BadDer | E::BadDerTime | E::MalformedExtensions | E::TrailingData(_) => PeerRefusal::Malformed,
            // A signature that is not the authority's, a name it may not give, and the like.
            _ => PeerRefusal::Foreign,
        })
    }

    /// Of a handshake that failed on our side; `None` if it was not because of who the peer is.
    pub fn by_handshake(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        let reason = match error {
            rustls::Error::NoCertificatesPresented => PeerRefusal::Missing,
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => PeerRefusal::PlainText,
            rustls::Error::InvalidCertificate(error) => by_certificate(error),
            _ => return None,
        };
        Some(Self::of(reason))
    }
}

fn by_certificate(error: &CertificateError) -> PeerRefusal {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => PeerRefusal::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            PeerRefusal::NotYetValid
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            PeerRefusal::WrongPurpose
        }
        CertificateError::ApplicationVerificationFailure
        | CertificateError::NotValidForName
        | CertificateError::NotValidForNameContext { .. } => PeerRefusal::WrongIdentity,
        CertificateError::BadEncoding => PeerRefusal::Malformed,
        _ => PeerRefusal::Foreign,
    }
}

/// For people, about a peer.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.text())?;
        if let Some(id) = &self.id {
            write!(f, ": {id}")?;
        }
        if let Some(detail) = self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}
