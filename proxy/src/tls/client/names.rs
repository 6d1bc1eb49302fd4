//! TLS towards endpoints that are known by their names, with files that are swapped when they change.

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, WebPkiServerVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    path::Path,
    sync::{Arc, LazyLock},
};
use weir_config::checked::{UpstreamNames, UpstreamProtocol};

use super::{
    super::{TlsError, TlsFault, files::Files, provider, versions},
    offer, sessions,
};

/// What a cluster expects of its origins and shows to them.
pub(super) struct Names {
    spec: UpstreamNames,
    protocol: UpstreamProtocol,
    current: ArcSwap<Current>,
}

/// One state of the files.
struct Current {
    config: Arc<ClientConfig>,
    digest: [u8; 32],
}

impl Names {
    /// Reads and checks the files.
    pub(super) fn load(spec: &UpstreamNames, protocol: UpstreamProtocol) -> Result<Self, TlsError> {
        let read = Files::read(files(spec))?;
        let current = Current { config: Arc::new(config(spec, protocol, &read)?), digest: read.digest() };
        Ok(Names { spec: spec.clone(), protocol, current: ArcSwap::from_pointee(current) })
    }

    /// For the next handshake.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.current.load().config.clone()
    }

    /// Reads the files again and checks them. None: they are as they were.
    pub(super) fn read_again(&self) -> Result<Option<Renewed>, TlsError> {
        let read = Files::read(files(&self.spec))?;
        let digest = read.digest();
        if self.current.load().digest == digest {
            return Ok(None);
        }
        let config = Arc::new(config(&self.spec, self.protocol, &read)?);
        Ok(Some(Renewed(Arc::new(Current { config, digest }))))
    }

    /// Puts what was read in force, for handshakes to come; connections that stand are not touched.
    pub(super) fn adopt(&self, renewed: &Renewed) {
        self.current.store(Arc::clone(&renewed.0));
    }
}

/// Files that were read again and are in order.
pub struct Renewed(Arc<Current>);

fn files(spec: &UpstreamNames) -> impl Iterator<Item = &Path> {
    let certificate = spec.certificate.iter().flat_map(|one| [one.cert.as_path(), one.key.as_path()]);
    certificate.chain(spec.ca.as_deref())
}

fn config(spec: &UpstreamNames, protocol: UpstreamProtocol, read: &Files) -> Result<ClientConfig, TlsError> {
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
    config.alpn_protocols = offer(protocol);
    config.resumption = sessions();
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
