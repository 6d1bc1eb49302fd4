//! A certificate authority for one test, and the TLS configurations made from it.
//!
//! Everything is made anew per test and valid for the test's machine only; nothing here is a secret.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, crypto::CryptoProvider, server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

/// Issues certificates.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// How an SVID is made: right in every way, unless a test says otherwise.
#[derive(Debug, Clone)]
pub struct SvidPlan<'a> {
    /// Its name; a URI if it contains `://`.
    pub id: &'a str,
    /// Further names.
    pub more: &'a [&'a str],
    /// Seconds from now until it begins to hold; negative: it does already.
    pub begins: i64,
    /// Seconds from now until it expires; negative: it has.
    pub expires: i64,
    /// For servers and for clients (extended key usage).
    pub purposes: (bool, bool),
    /// It says that its key is for signatures (key usage).
    pub key_usage: bool,
    /// It says that its key may sign certificates.
    pub signs_certificates: bool,
    /// It is an authority itself.
    pub ca: bool,
}

impl<'a> SvidPlan<'a> {
    /// For an hour, from a minute ago.
    pub fn of(id: &'a str) -> Self {
        Self {
            id,
            more: &[],
            begins: -60,
            expires: 3600,
            purposes: (true, true),
            key_usage: true,
            signs_certificates: false,
            ca: false,
        }
    }

    fn params(&self) -> Result<CertificateParams> {
        let mut params = named(&[&[self.id], self.more].concat())?;
        let now = OffsetDateTime::now_utc();
        params.not_before = now + time::Duration::seconds(self.begins);
        params.not_after = now + time::Duration::seconds(self.expires);
        params.is_ca = if self.ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        if self.key_usage {
            params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        }
        if self.signs_certificates {
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        let (server, client) = self.purposes;
        let purposes =
            [(server, ExtendedKeyUsagePurpose::ServerAuth), (client, ExtendedKeyUsagePurpose::ClientAuth)];
        params.extended_key_usages =
            purposes.into_iter().filter_map(|(is, purpose)| is.then_some(purpose)).collect();
        Ok(params)
    }
}

/// A certificate with its key.
pub struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Ca {
    /// A new authority with a key of its own (ECDSA P-256).
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Weir test authority");
        let certificate = params.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// A certificate for `names`: DNS names, addresses, or URIs (`spiffe://...`).
    pub fn leaf(&self, names: &[&str]) -> Result<Leaf> {
        let key = KeyPair::generate()?;
        Ok(Leaf { certificate: named(names)?.signed_by(&key, &self.issuer)?, key })
    }

    /// An X.509-SVID.
    pub fn svid(&self, plan: &SvidPlan<'_>) -> Result<Leaf> {
        let key = KeyPair::generate()?;
        Ok(Leaf { certificate: plan.params()?.signed_by(&key, &self.issuer)?, key })
    }

    /// The authority's certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// The authority's certificate.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Writes the authority's certificate as `NAME.pem`, giving its path.
    pub fn write_to(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        write(folder, &format!("{name}.pem"), &self.pem())
    }

    /// For clients that trust this authority, offer `alpn`, and show `certificate` if asked.
    pub fn client(&self, alpn: &[&str], certificate: Option<&Leaf>) -> Result<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let mut config = match certificate {
            Some(leaf) => builder.with_client_auth_cert(vec![leaf.der()], leaf.key_der())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// For origins that show `leaf` and speak `alpn`.
    pub fn server(&self, leaf: &Leaf, alpn: &[&str]) -> Result<Arc<ServerConfig>> {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_single_cert(vec![leaf.der()], leaf.key_der())?;
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// As [`Self::server`], and callers must show a certificate of this authority.
    pub fn mutual_server(&self, leaf: &Leaf, alpn: &[&str]) -> Result<Arc<ServerConfig>> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider()).build()?;
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = builder.with_client_cert_verifier(verifier);
        let mut config = builder.with_single_cert(vec![leaf.der()], leaf.key_der())?;
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        Ok(roots)
    }
}

/// For these names, and for nothing in particular.
fn named(names: &[&str]) -> Result<CertificateParams> {
    let (uris, plain): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
    let plain: Vec<String> = plain.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(plain)?;
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    }
    let first = *names.first().context("a certificate without name")?;
    params.distinguished_name.push(DnType::CommonName, first);
    Ok(params)
}

impl Leaf {
    /// The certificate.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The key, PKCS #8.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Writes `NAME.pem` and `NAME.key`, giving their paths.
    pub fn write_to(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let cert = write(folder, &format!("{name}.pem"), &self.pem())?;
        Ok((cert, write(folder, &format!("{name}.key"), &self.key_pem())?))
    }

    /// The certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// The key, PKCS #8.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
