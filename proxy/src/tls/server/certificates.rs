//! TLS towards callers with certificates from files, swapped when they change.

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    server::{ProducesTickets, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{path::Path, sync::Arc};
use weir_config::checked::{ClientAuth, ListenerCertificates};

use super::{
    super::{TlsError, TlsFault, files::Files, provider, sni::ByName, versions},
    offer,
};

/// What a listener shows to its callers.
pub(super) struct Certificates {
    spec: ListenerCertificates,
    current: ArcSwap<Current>,
}

/// One state of the files.
struct Current {
    config: Arc<ServerConfig>,
    digest: [u8; 32],
    roots_digest: [u8; 32],
}

impl Certificates {
    /// Reads and checks the files.
    pub(super) fn load(spec: &ListenerCertificates) -> Result<Self, TlsError> {
        let current = Current::load(spec, None)?;
        Ok(Certificates { spec: spec.clone(), current: ArcSwap::from_pointee(current) })
    }

    /// For the next handshake.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Reads the files again and checks them. None: they are as they were.
    pub(super) fn read_again(&self) -> Result<Option<Renewed>, TlsError> {
        let old = self.current.load_full();
        let new = Current::load(&self.spec, Some(&old))?;
        Ok((new.digest != old.digest).then(|| Renewed(Arc::new(new))))
    }

    /// Puts what was read in force, for handshakes to come; connections that stand are not touched.
    pub(super) fn adopt(&self, renewed: &Renewed) {
        self.current.store(Arc::clone(&renewed.0));
    }
}

/// Files that were read again and are in order.
pub struct Renewed(Arc<Current>);

fn files(spec: &ListenerCertificates) -> impl Iterator<Item = &Path> {
    let certificates = spec.certificates.iter().flat_map(|one| [one.cert.as_path(), one.key.as_path()]);
    certificates.chain(spec.client_ca.as_deref())
}

impl Current {
    fn load(spec: &ListenerCertificates, old: Option<&Current>) -> Result<Self, TlsError> {
        let read = Files::read(files(spec))?;
        let digest = read.digest();
        let roots_digest = read.digest_of(spec.client_ca.as_deref());
        if let Some(old) = old.filter(|old| old.digest == digest) {
            return Ok(Current { config: old.config.clone(), digest, roots_digest });
        }
        // A ticket vouches for the certificate its owner once showed: other roots, other tickets.
        let tickets = match old.filter(|old| old.roots_digest == roots_digest) {
            Some(old) => old.config.ticketer.clone(),
            None => tickets(spec)?,
        };
        Ok(Current { config: Arc::new(config(spec, &read, tickets)?), digest, roots_digest })
    }
}

fn config(
    spec: &ListenerCertificates,
    read: &Files,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, TlsError> {
    let refused = |reason: String| TlsError::new(first_file(spec), TlsFault::Refused(reason));
    let certificates =
        spec.certificates.iter().map(|one| read.certified_key(one)).collect::<Result<_, _>>()?;
    let by_name = ByName::new(certificates).ok_or_else(|| refused("no certificate is configured".into()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(spec.allow_tls12))
        .map_err(|error| refused(error.to_string()))?
        .with_client_cert_verifier(client_verifier(spec, read)?)
        .with_cert_resolver(Arc::new(by_name));
    offer(&mut config, tickets);
    Ok(config)
}

/// Keys of tickets are made anew every six hours; the one before still opens tickets.
fn tickets(spec: &ListenerCertificates) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    Ticketer::new().map_err(|error| TlsError::new(first_file(spec), TlsFault::Refused(error.to_string())))
}

fn client_verifier(
    spec: &ListenerCertificates,
    read: &Files,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if spec.client_auth == ClientAuth::None {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let Some(path) = &spec.client_ca else {
        return Err(TlsError::new(first_file(spec), TlsFault::NoClientCa));
    };
    let mut builder = WebPkiClientVerifier::builder_with_provider(read.roots(path)?, provider());
    if spec.client_auth == ClientAuth::Request {
        // A caller may show none; one that is shown must be good.
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| TlsError::new(path, TlsFault::Refused(error.to_string())))
}

fn first_file(spec: &ListenerCertificates) -> &Path {
    spec.certificates.first().map_or(Path::new(""), |first| &first.cert)
}
