//! Who the other side is, read from the certificate it has proved to own.

use rustls_pki_types::CertificateDer;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a verified certificate says about its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The URI among its alternative names, a SPIFFE ID for example; what policies see as `@peer.identity`.
    /// None if there is no URI or more than one: an X.509-SVID has exactly one (SPIFFE X.509-SVID 2), and to
    /// choose among several would let an issuer's extra name pass for the caller's own.
    pub uri: Option<Arc<str>>,
    /// The subject's distinguished name, for logs.
    pub subject: Arc<str>,
}

impl PeerIdentity {
    /// Reads the first certificate of a verified chain.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
        Some(PeerIdentity { uri: only_uri(&leaf), subject: leaf.subject().to_string().into() })
    }
}

fn only_uri(leaf: &X509Certificate<'_>) -> Option<Arc<str>> {
    let names = leaf.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next()?;
    // It ends up in field values and logs; a URI is printable ASCII (RFC 3986 2).
    let legal = !uri.is_empty() && uri.bytes().all(|byte| byte.is_ascii_graphic());
    (legal && uris.next().is_none()).then(|| uri.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_testkit::Ca;

    fn identity(names: &[&str]) -> PeerIdentity {
        let leaf = Ca::new().unwrap().leaf(names).unwrap();
        PeerIdentity::of(&[leaf.der()]).unwrap()
    }

    #[test]
    fn the_only_uri_is_the_identity() {
        let peer = identity(&["spiffe://example.org/ns/shop/sa/cart", "cart.example"]);
        assert_eq!(peer.uri.as_deref(), Some("spiffe://example.org/ns/shop/sa/cart"));
        assert_eq!(&*peer.subject, "CN=spiffe://example.org/ns/shop/sa/cart");
    }

    #[test]
    fn two_uris_or_none_are_no_identity() {
        assert_eq!(identity(&["spiffe://example.org/a", "spiffe://example.org/b"]).uri, None);
        assert_eq!(identity(&["cart.example"]).uri, None);
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        assert_eq!(PeerIdentity::of(&[]), None);
        assert_eq!(PeerIdentity::of(&[CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff])]), None);
    }
}
