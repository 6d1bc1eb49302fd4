//! X.509-SVIDs: what makes a certificate one, and our own with all that belongs to it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use sha2::{Digest, Sha256};
use weir_config::spiffe::SpiffeId;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a certificate says of a workload, read by [`leaf`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Whom it names.
    pub id: SpiffeId,
    /// First second of its time, since 1970.
    pub not_before: i64,
    /// Last second of its time, since 1970.
    pub not_after: i64,
}

/// Reads a certificate as the SVID of a workload. Neither its time nor its signature is looked at.
///
/// # Errors
/// Why it is none (SPIFFE X.509-SVID 2 to 5), in words.
pub fn leaf(der: &[u8]) -> Result<Leaf, &'static str> {
    let (_, leaf) = X509Certificate::from_der(der).map_err(|_| "the certificate is malformed")?;
    if leaf.is_ca() {
        return Err("it is the certificate of an authority");
    }
    let usage = leaf.key_usage().map_err(|_| "its key usage is malformed")?;
    let usage = usage.ok_or("it does not say what its key is for (key usage)")?.value;
    if !usage.digital_signature() {
        return Err("its key is not for signatures (key usage)");
    }
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err("its key may sign certificates (key usage)");
    }
    let names = leaf.subject_alternative_name().map_err(|_| "its names are malformed")?;
    let names = names.ok_or("it has no URI among its names")?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let id = SpiffeId::parse(uris.next().ok_or("it has no URI among its names")?)?;
    if uris.next().is_some() {
        return Err("it has more than one URI among its names");
    }
    let validity = leaf.validity();
    Ok(Leaf { id, not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

/// Our own SVID with its key, and the authorities of its trust domain and of those it is federated with.
pub struct Svid {
    leaf: Leaf,
    certified: Arc<CertifiedKey>,
    /// By trust domain.
    authorities: BTreeMap<Box<str>, Vec<TrustAnchor<'static>>>,
    trust: [u8; 32],
    digest: [u8; 32],
}

/// Not derived: what holds a private key is nothing for logs.
impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

/// What an SVID is made from.
pub struct Material {
    /// The SVID first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// Authorities of the SVID's own trust domain.
    pub bundle: Vec<CertificateDer<'static>>,
    /// Authorities of other trust domains, by their names.
    pub federated: Vec<(Box<str>, Vec<CertificateDer<'static>>)>,
}

impl Svid {
    /// Checks that all belongs together; with `wanted`, that it names that workload.
    pub fn new(material: Material, wanted: Option<&SpiffeId>) -> Result<Self, SvidFault> {
        let Material { chain, key, bundle, federated } = material;
        let own = leaf(chain.first().ok_or(SvidFault::NoSvid("there is no certificate"))?);
        let leaf = own.map_err(SvidFault::NoSvid)?;
        if wanted.is_some_and(|wanted| *wanted != leaf.id) {
            return Err(SvidFault::OtherId(leaf.id));
        }
        let own = (leaf.id.trust_domain().into(), bundle);
        let mut trust = Sha256::new();
        let mut authorities = BTreeMap::new();
        for (domain, bundle) in federated.into_iter().chain([own]) {
            add_all(&mut trust, [domain.as_bytes()]);
            add_all(&mut trust, bundle.iter().map(|authority| &**authority));
            authorities.insert(domain, anchors(&bundle)?);
        }
        if authorities.get(leaf.id.trust_domain()).is_none_or(Vec::is_empty) {
            return Err(SvidFault::Bundle("it holds no authority".to_owned()));
        }
        let trust: [u8; 32] = trust.finalize().into();
        let mut digest = Sha256::new();
        add_all(&mut digest, [&trust[..], key.secret_der()]);
        add_all(&mut digest, chain.iter().map(|certificate| &**certificate));
        let certified = CertifiedKey::new(chain, any_supported_type(&key).map_err(SvidFault::Key)?);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(SvidFault::KeyMismatch),
            Err(error) => return Err(SvidFault::Key(error)),
        }
        let certified = Arc::new(certified);
        Ok(Self { leaf, certified, authorities, trust, digest: digest.finalize().into() })
    }

    /// Whom it names.
    pub fn id(&self) -> &SpiffeId {
        &self.leaf.id
    }

    /// To be shown.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Who may vouch for the workloads of a trust domain; none: nobody is known there.
    pub fn authorities(&self, trust_domain: &str) -> Option<&[TrustAnchor<'static>]> {
        self.authorities.get(trust_domain).map(Vec::as_slice)
    }

    /// Names of the trust domains whose workloads can be known.
    pub fn trust_domains(&self) -> impl Iterator<Item = &str> {
        self.authorities.keys().map(|domain| &**domain)
    }

    /// Tells one set of authorities from another.
    pub fn trust(&self) -> &[u8; 32] {
        &self.trust
    }

    /// Tells one SVID, with all that belongs to it, from another.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Last second of its time, since 1970.
    pub fn not_after(&self) -> i64 {
        self.leaf.not_after
    }

    /// Seconds until it is of no use, from `now` (seconds since 1970); negative when it is.
    pub fn expires_in(&self, now: i64) -> i64 {
        self.leaf.not_after - now
    }
}

fn anchors(bundle: &[CertificateDer<'static>]) -> Result<Vec<TrustAnchor<'static>>, SvidFault> {
    let one = |authority: &CertificateDer<'static>| {
        let anchor = webpki::anchor_from_trusted_cert(authority);
        anchor.map(|anchor| anchor.to_owned()).map_err(|error| SvidFault::Bundle(error.to_string()))
    };
    bundle.iter().map(one).collect()
}

/// With lengths, so that no two lists look alike.
fn add_all<'a>(digest: &mut Sha256, parts: impl IntoIterator<Item = &'a [u8]>) {
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
}

/// Why something is not an SVID that can be used.
#[derive(Debug)]
pub enum SvidFault {
    /// The certificate is not one of a workload.
    NoSvid(&'static str),
    /// It names this workload, and config wants another.
    OtherId(SpiffeId),
    /// The key cannot be used.
    Key(rustls::Error),
    /// The key is that of another certificate.
    KeyMismatch,
    /// The bundle cannot be used.
    Bundle(String),
}

impl fmt::Display for SvidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSvid(reason) => write!(f, "is no SVID of a workload: {reason}"),
            Self::OtherId(id) => write!(f, "is the SVID of {id}, and config wants another"),
            Self::Key(error) => write!(f, "has a key that cannot be used: {error}"),
            Self::KeyMismatch => f.write_str("is not the certificate of the key"),
            Self::Bundle(reason) => write!(f, "has a bundle that cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for SvidFault {}
