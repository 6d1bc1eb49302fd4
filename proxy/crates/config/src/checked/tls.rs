//! TLS as it was checked, on both sides, and the identities that it is spoken with.

use std::{path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spiffe::{SpiffeId, SpiffePattern};

/// Who the proxy is to other workloads (SPIFFE X.509-SVID).
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// As in `[identities.NAME]`.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: IdentitySource,
    /// The only ID that is taken from there; none: the first that comes.
    pub id: Option<SpiffeId>,
}

/// Where an identity comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IdentitySource {
    /// Read again when they change.
    Files {
        /// The SVID and its key.
        certificate: Certificate,
        /// PEM file of the authorities of the trust domain.
        bundle: PathBuf,
    },
    /// The agent's Unix socket (SPIFFE Workload API); it tells of each change by itself.
    WorkloadApi(PathBuf),
}

/// TLS towards callers.
#[derive(Debug, Clone, PartialEq)]
pub enum ListenerTls {
    /// The proxy shows certificates by the names that callers ask for.
    Certificates(ListenerCertificates),
    /// The proxy shows an identity, and knows callers by theirs.
    Identity(ListenerIdentity),
}

/// Certificates for callers.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerCertificates {
    /// At least one; the first is served when no name matches.
    pub certificates: Vec<Certificate>,
    /// Whether callers have to show a certificate.
    pub client_auth: ClientAuth,
    /// PEM file of the roots that client certificates must chain to; present unless `client_auth` is `None`.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.2 is accepted beside 1.3.
    pub allow_tls12: bool,
}

/// An identity for callers.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerIdentity {
    /// One of the configuration's.
    pub identity: Arc<str>,
    /// What is asked of callers.
    pub mtls: Mtls,
    /// Who may call; empty: every workload of the identity's own trust domain.
    pub peers: Vec<SpiffePattern>,
    /// TLS 1.2 is accepted beside 1.3.
    pub allow_tls12: bool,
}

/// What a listener with an identity asks of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mtls {
    /// Without a good SVID there is no connection, and plain text is refused.
    #[default]
    Require,
    /// As `require` for those who speak TLS; plain text is served too, and its callers have no identity. For
    /// the time in which callers move to mTLS.
    Permissive,
    /// Callers speak TLS and are not asked who they are.
    None,
}

/// A certificate and its key: PEM files that exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The chain, the certificate itself first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Whether callers have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for one.
    None,
    /// They are asked; one that is shown must be valid.
    Request,
    /// Without a valid one there is no connection.
    Require,
}

/// TLS towards endpoints.
#[derive(Debug, Clone, PartialEq)]
pub enum UpstreamTls {
    /// Endpoints are known by the names in their certificates.
    Names(UpstreamNames),
    /// Endpoints are known by their identities.
    Identity(UpstreamIdentity),
}

/// Endpoints that are known by names.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamNames {
    /// PEM file of roots. None: the public roots that come with the proxy.
    pub ca: Option<PathBuf>,
    /// To ask for and to verify. None: the host of the endpoint's address.
    pub server_name: Option<Arc<str>>,
    /// Shown to origins that ask for one.
    pub certificate: Option<Certificate>,
    /// TLS 1.2 is accepted beside 1.3.
    pub allow_tls12: bool,
}

/// Endpoints that are known by identities.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamIdentity {
    /// Shown to endpoints; one of the configuration's.
    pub identity: Arc<str>,
    /// Who the endpoints may be; at least one.
    pub expect: Vec<SpiffePattern>,
    /// To ask for (SNI); it is not verified. None: the host of the endpoint's address, if that is a name.
    pub server_name: Option<Arc<str>>,
    /// TLS 1.2 is accepted beside 1.3.
    pub allow_tls12: bool,
}
