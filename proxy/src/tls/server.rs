//! TLS towards callers: the configuration of a listener, swapped when its files change.

use super::{H2, HTTP_1_1, PeerIdentity, TlsError, TlsFault, files::Files, provider, sni::ByName, versions};
use crate::telemetry::metrics::Handshake;
use arc_swap::ArcSwap;
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection,
    crypto::aws_lc_rs::Ticketer,
    server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{io, path::Path, sync::Arc};
use weir_config::checked::{ClientAuth, ListenerTls};

/// What a listener shows to its callers.
pub struct ServerTls {
    spec: ListenerTls,
    current: ArcSwap<Current>,
}

/// One state of the files.
struct Current {
    config: Arc<ServerConfig>,
    digest: [u8; 32],
    roots_digest: [u8; 32],
}

impl ServerTls {
    /// Reads and checks the files.
    pub fn load(spec: &ListenerTls) -> Result<Self, TlsError> {
        let current = Current::load(spec, None)?;
        Ok(ServerTls { spec: spec.clone(), current: ArcSwap::from_pointee(current) })
    }

    /// For the next handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Reads the files again and checks them. None: they are as they were.
    pub fn read_again(&self) -> Result<Option<Renewed>, TlsError> {
        let old = self.current.load_full();
        let new = Current::load(&self.spec, Some(&old))?;
        Ok((new.digest != old.digest).then(|| Renewed(Arc::new(new))))
    }

    /// Puts what was read in force, for handshakes to come; connections that stand are not touched.
    pub fn adopt(&self, renewed: &Renewed) {
        self.current.store(Arc::clone(&renewed.0));
    }
}

/// Files that were read again and are in order.
pub struct Renewed(Arc<Current>);

fn files(spec: &ListenerTls) -> impl Iterator<Item = &Path> {
    let certificates = spec.certificates.iter().flat_map(|one| [one.cert.as_path(), one.key.as_path()]);
    certificates.chain(spec.client_ca.as_deref())
}

impl Current {
    fn load(spec: &ListenerTls, old: Option<&Current>) -> Result<Self, TlsError> {
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
    spec: &ListenerTls,
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
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    // Sessions are resumed from what the caller brings: every worker can, and nothing is kept here.
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Keys of tickets are made anew every six hours; the one before still opens tickets.
fn tickets(spec: &ListenerTls) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    Ticketer::new().map_err(|error| TlsError::new(first_file(spec), TlsFault::Refused(error.to_string())))
}

fn client_verifier(spec: &ListenerTls, read: &Files) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
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

fn first_file(spec: &ListenerTls) -> &Path {
    spec.certificates.first().map_or(Path::new(""), |first| &first.cert)
}

/// What a handshake settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The name the caller asked for, in lower case.
    pub sni: Option<Arc<str>>,
    /// HTTP/2 was agreed on; else it is HTTP/1.1, agreed on or by default.
    pub http2: bool,
    /// Who the caller is, if it showed a certificate.
    pub peer: Option<PeerIdentity>,
    /// As metrics count it.
    pub kind: Handshake,
}

impl Settled {
    /// Reads a connection whose handshake is complete.
    pub fn of(connection: &ServerConnection) -> Self {
        Settled {
            sni: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
            http2: connection.alpn_protocol() == Some(H2),
            peer: connection.peer_certificates().and_then(PeerIdentity::of),
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
