//! Reading certificates, keys and roots from PEM files.
//!
//! All files of a configuration are read first and parsed from memory afterwards: what was compared to find
//! a change is exactly what comes into force.

use super::{TlsError, TlsFault, provider};
use rustls::{RootCertStore, sign::CertifiedKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error as PemError, PemObject},
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use weir_config::checked::Certificate;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The public roots of a whole operating system take a quarter of this.
const FILE_MAX: u64 = 1 << 20;

/// Files as they were at one moment.
pub(super) struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    /// Reads them all.
    pub(super) fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, TlsError> {
        let mut files = BTreeMap::new();
        for path in paths {
            files.insert(path.to_owned(), read(path).map_err(|fault| TlsError::new(path, fault))?);
        }
        Ok(Files(files))
    }

    /// Tells one state of the files from another.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest_of(self.0.keys().map(PathBuf::as_path))
    }

    /// As [`Files::digest`], of some of them.
    pub(super) fn digest_of<'a>(&self, paths: impl IntoIterator<Item = &'a Path>) -> [u8; 32] {
        let mut digest = Sha256::new();
        for path in paths {
            let content = self.content(path);
            digest.update((content.len() as u64).to_le_bytes());
            digest.update(content);
        }
        digest.finalize().into()
    }

    /// A certificate chain with its key, which must belong together.
    pub(super) fn certified_key(&self, certificate: &Certificate) -> Result<CertifiedKey, TlsError> {
        let chain = self.certificates(&certificate.cert)?;
        warn_of_validity(&certificate.cert, &chain[0]);
        let refused = |fault| TlsError::new(&certificate.key, fault);
        let key = self.key(&certificate.key)?;
        let key =
            provider().key_provider.load_private_key(key).map_err(|error| refused(TlsFault::Key(error)))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::new(&certificate.cert, TlsFault::KeyMismatch(certificate.key.clone())))
            }
            Err(error) => Err(TlsError::new(&certificate.cert, TlsFault::Certificate(error.to_string()))),
        }
    }

    /// What certificates of the other side must chain to.
    pub(super) fn roots(&self, path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        let certificates = self.certificates(path)?;
        let now = SystemTime::now();
        // Old roots linger in every large bundle; that none is left in force is worth a word.
        if certificates.iter().all(|root| validity_problem(root, now).is_some()) {
            warn_of_validity(path, &certificates[0]);
        }
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| TlsError::new(path, TlsFault::Certificate(error.to_string())))?;
        }
        Ok(Arc::new(roots))
    }

    pub(super) fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
        private_key(self.content(path)).map_err(|fault| TlsError::new(path, fault))
    }

    /// At least one.
    pub(super) fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let failed = |fault| TlsError::new(path, fault);
        let found: Vec<_> = CertificateDer::pem_slice_iter(self.content(path))
            .collect::<Result<_, _>>()
            .map_err(|error| failed(TlsFault::Pem(error)))?;
        for certificate in &found {
            if let Err(error) = X509Certificate::from_der(certificate) {
                return Err(failed(TlsFault::Certificate(error.to_string())));
            }
        }
        if found.is_empty() { Err(failed(TlsFault::NoCertificate)) } else { Ok(found) }
    }

    fn content(&self, path: &Path) -> &[u8] {
        self.0.get(path).map_or(&[], Vec::as_slice)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFault> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(TlsFault::Unreadable)?;
    file.take(FILE_MAX + 1).read_to_end(&mut content).map_err(TlsFault::Unreadable)?;
    if content.len() as u64 > FILE_MAX { Err(TlsFault::TooLarge) } else { Ok(content) }
}

fn private_key(content: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFault> {
    match PrivateKeyDer::from_pem_slice(content) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) if is_encrypted(content) => Err(TlsFault::EncryptedKey),
        Err(PemError::NoItemsFound) => Err(TlsFault::NoKey),
        Err(error) => Err(TlsFault::Pem(error)),
    }
}

fn is_encrypted(content: &[u8]) -> bool {
    let marker = b"BEGIN ENCRYPTED PRIVATE KEY";
    content.windows(marker.len()).any(|window| window == marker)
}

/// An expired certificate is no reason to stay down: callers that do not mind can still be served.
fn warn_of_validity(path: &Path, certificate: &CertificateDer<'_>) {
    if let Some(problem) = validity_problem(certificate, SystemTime::now()) {
        tracing::warn!(file = %path.display(), "the certificate {problem}");
    }
}

/// What is wrong with a certificate's time.
fn validity_problem(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<&'static str> {
    /// Certificates are renewed before half their life is over, which is some days at most for the short
    /// ones; a day is late for any.
    const SOON: Duration = Duration::from_secs(24 * 60 * 60);
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let validity = certificate.validity();
    if seconds(now) < validity.not_before.timestamp() {
        return Some("is not valid yet");
    }
    if seconds(now) > validity.not_after.timestamp() {
        return Some("has expired");
    }
    (seconds(now + SOON) > validity.not_after.timestamp()).then_some("expires within a day")
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_testkit::Ca;

    const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    #[test]
    fn certificates_out_of_their_time_are_noticed() {
        let der = Ca::new().unwrap().leaf(&["localhost"]).unwrap().der();
        // The authority's certificates hold from 1975 to 4096.
        assert_eq!(validity_problem(&der, SystemTime::now()), None);
        assert_eq!(validity_problem(&der, UNIX_EPOCH), Some("is not valid yet"));
        assert_eq!(validity_problem(&der, UNIX_EPOCH + YEAR * 2_200), Some("has expired"));
    }

    #[test]
    fn a_change_of_any_file_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        let digest = |first: &str, second: &str| {
            std::fs::write(&one, first).unwrap();
            std::fs::write(&two, second).unwrap();
            Files::read([one.as_path(), two.as_path()]).unwrap().digest()
        };
        assert_eq!(digest("a", "b"), digest("a", "b"));
        assert_ne!(digest("a", "b"), digest("a", "c"));
        assert_ne!(digest("ab", "c"), digest("a", "bc"));
    }
}
