//! Which certificate a caller is shown: by the name it asks for (RFC 6066 3), read from the certificates.

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{collections::HashMap, sync::Arc};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Certificates by the DNS names in them.
#[derive(Debug)]
pub(super) struct ByName {
    /// Exact names, and wildcards without their "*". Several certificates of one name differ in their kind
    /// of key.
    names: HashMap<String, Vec<Arc<CertifiedKey>>>,
    first: Arc<CertifiedKey>,
}

impl ByName {
    /// The first certificate also serves names that none has. `None` without a certificate.
    pub(super) fn new(certificates: Vec<CertifiedKey>) -> Option<Self> {
        let certificates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
        let mut names: HashMap<_, Vec<_>> = HashMap::new();
        for certificate in &certificates {
            for name in dns_names(certificate) {
                names.entry(name).or_default().push(certificate.clone());
            }
        }
        Some(ByName { names, first: certificates.first()?.clone() })
    }

    /// Certificates for a name, which is lower case: those that name it, else those with a wildcard in the
    /// place of its first label (RFC 9525 6.3).
    fn named(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let exact = self.names.get(name);
        let parent = || self.names.get(&name[name.find('.')?..]);
        exact.or_else(parent).map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let named = self.named(name.as_deref().unwrap_or_default());
        let usable = named
            .iter()
            .find(|certificate| certificate.key.choose_scheme(hello.signature_schemes()).is_some());
        // A name's own certificate is shown even if the caller will not like its kind of key: the
        // handshake then fails for the right reason.
        Some(usable.or(named.first()).unwrap_or(&self.first).clone())
    }
}

/// DNS names among the subject's alternative names, in lower case; a wildcard begins with ".".
fn dns_names(certificate: &CertifiedKey) -> Vec<String> {
    let parsed = certificate.cert.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let Some((_, leaf)) = parsed else { return Vec::new() };
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return Vec::new() };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
    use weir_testkit::Ca;

    fn certificate(ca: &Ca, names: &[&str]) -> CertifiedKey {
        let leaf = ca.leaf(names).unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem().as_bytes()).unwrap();
        CertifiedKey::from_der(vec![leaf.der()], key, &super::super::provider()).unwrap()
    }

    #[test]
    fn names_find_their_certificate_exactly_or_by_one_label() {
        let ca = Ca::new().unwrap();
        let leaves = [&["first.example"][..], &["*.wild.example"], &["Own.wild.example", "other.example"]];
        let by_name = ByName::new(leaves.iter().map(|names| certificate(&ca, names)).collect()).unwrap();
        let found = |name: &str| by_name.named(name).first().map(|found| dns_names(found)[0].clone());
        assert_eq!(found("first.example").as_deref(), Some("first.example"));
        assert_eq!(found("a.wild.example").as_deref(), Some(".wild.example"));
        assert_eq!(found("own.wild.example").as_deref(), Some("own.wild.example"));
        assert_eq!(found("other.example").as_deref(), Some("own.wild.example"));
        assert_eq!(found("a.b.wild.example"), None);
        assert_eq!(found("wild.example"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn without_a_certificate_there_is_nothing_to_show() {
        assert!(ByName::new(Vec::new()).is_none());
    }
}
