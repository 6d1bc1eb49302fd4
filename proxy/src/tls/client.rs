//! TLS towards origins: the configuration of a cluster, swapped when its files change.

use super::{H2, HTTP_1_1, TlsError, TlsFault, files::Files, provider, versions};
use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, Resumption, WebPkiServerVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::ServerName;
use std::{
    path::Path,
    sync::{Arc, LazyLock},
};
use weir_config::checked::{Address, UpstreamProtocol, UpstreamTls};

/// Origins of one cluster whose sessions are kept for resumption.
const SESSIONS: usize = 256;

/// What a cluster expects of its origins and shows to them.
pub struct ClientTls {
    spec: UpstreamTls,
    protocol: UpstreamProtocol,
    server_name: Option<ServerName<'static>>,
    current: ArcSwap<Current>,
}

/// One state of the files.
struct Current {
    config: Arc<ClientConfig>,
    digest: [u8; 32],
}

impl ClientTls {
    /// Reads and checks the files.
    pub fn load(spec: &UpstreamTls, protocol: UpstreamProtocol) -> Result<Self, TlsError> {
        let read = Files::read(files(spec))?;
        let current = Current { config: Arc::new(config(spec, protocol, &read)?), digest: read.digest() };
        Ok(ClientTls {
            spec: spec.clone(),
            protocol,
            server_name: server_name(spec)?,
            current: ArcSwap::from_pointee(current),
        })
    }

    /// For the next handshake.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.current.load().config.clone()
    }

    /// The name an endpoint's certificate must have: the configured one, else the host of the endpoint's
    /// address as it was configured, not as it was resolved. None for a Unix socket when no name is
    /// configured: there is nothing to compare with.
    pub fn server_name(&self, endpoint: &Address) -> Option<ServerName<'static>> {
        match (&self.server_name, endpoint) {
            (Some(name), _) => Some(name.clone()),
            (None, Address::Tcp(address)) => Some(address.ip().into()),
            (None, Address::Name { host, .. }) => ServerName::try_from(host.to_string()).ok(),
            (None, Address::Unix(_)) => None,
        }
    }

    /// Reads the files again and checks them. None: they are as they were.
    pub fn read_again(&self) -> Result<Option<Renewed>, TlsError> {
        let read = Files::read(files(&self.spec))?;
        let digest = read.digest();
        if self.current.load().digest == digest {
            return Ok(None);
        }
        let config = Arc::new(config(&self.spec, self.protocol, &read)?);
        Ok(Some(Renewed(Arc::new(Current { config, digest }))))
    }

    /// Puts what was read in force, for handshakes to come; connections that stand are not touched.
    pub fn adopt(&self, renewed: &Renewed) {
        self.current.store(Arc::clone(&renewed.0));
    }
}

/// Files that were read again and are in order.
pub struct Renewed(Arc<Current>);

fn files(spec: &UpstreamTls) -> impl Iterator<Item = &Path> {
    let certificate = spec.certificate.iter().flat_map(|one| [one.cert.as_path(), one.key.as_path()]);
    certificate.chain(spec.ca.as_deref())
}

fn config(spec: &UpstreamTls, protocol: UpstreamProtocol, read: &Files) -> Result<ClientConfig, TlsError> {
    let refused =
        |reason: String| TlsError::new(spec.ca.clone().unwrap_or_default(), TlsFault::Refused(reason));
    let roots = match &spec.ca {
        Some(path) => read.roots(path)?,
        None => public_roots(),
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| refused(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(spec.allow_tls12))
        .map_err(|error| refused(error.to_string()))?
        .with_webpki_verifier(verifier);
    let mut config = match &spec.certificate {
        Some(certificate) => builder.with_client_cert_resolver(one(read.certified_key(certificate)?)),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        UpstreamProtocol::H1 => vec![HTTP_1_1.to_vec()],
        UpstreamProtocol::H2 => vec![H2.to_vec()],
        UpstreamProtocol::Auto => vec![H2.to_vec(), HTTP_1_1.to_vec()],
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

fn one(certificate: CertifiedKey) -> Arc<dyn ResolvesClientCert> {
    Arc::new(SingleCertAndKey::from(certificate))
}

fn public_roots() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> =
        LazyLock::new(|| Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));
    ROOTS.clone()
}

fn server_name(spec: &UpstreamTls) -> Result<Option<ServerName<'static>>, TlsError> {
    let Some(name) = &spec.server_name else { return Ok(None) };
    match ServerName::try_from(name.to_string()) {
        Ok(name) => Ok(Some(name)),
        Err(_) => Err(TlsError::new("server_name", TlsFault::ServerName(name.to_string()))),
    }
}
