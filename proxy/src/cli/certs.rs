//! `weir certs`: an authority for development, and the SVIDs of workloads from it.
//!
//! For a laptop, a test, a first try of mTLS. In production an agent gives out SVIDs and keeps the authority's key
//! where no workload is.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use weir_config::spiffe::{SpiffeId, trust_domain};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::print;

/// Of the authority's folder.
const CA_CERT: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
/// How long an authority lasts unless said.
const CA_TTL: &str = "365d";
/// Clocks of workloads are not quite the same.
const SKEW: time::Duration = time::Duration::minutes(5);

#[derive(Debug, Subcommand)]
pub(super) enum Certs {
    /// Makes a development authority: ca.pem, and ca.key that only you can read.
    Ca {
        /// The trust domain whose workloads it names.
        #[arg(long, value_name = "NAME")]
        trust_domain: String,
        /// Where to write; the folder is made if it is missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How long it holds.
        #[arg(long, value_name = "TIME", default_value = CA_TTL, value_parser = weir_config::duration)]
        ttl: Duration,
        /// Overwrite what is there.
        #[arg(long)]
        force: bool,
    },
    /// Issues the SVID of a workload: svid.pem, svid.key that only you can read, and bundle.pem.
    Svid {
        /// The folder of the authority.
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// The workload: spiffe://TRUST-DOMAIN/PATH.
        #[arg(long, value_name = "ID")]
        id: String,
        /// Where to write; the folder is made if it is missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How long it holds.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = weir_config::duration)]
        ttl: Duration,
        /// A name for callers that know no SPIFFE; may be said more than once.
        #[arg(long, value_name = "NAME")]
        dns: Vec<String>,
        /// Overwrite what is there.
        #[arg(long)]
        force: bool,
    },
}

/// Makes what was asked for, and says what was made.
pub(super) fn certs(command: &Certs) -> Result<ExitCode> {
    match command {
        Certs::Ca { trust_domain, out, ttl, force } => ca(trust_domain, out, *ttl, *force),
        Certs::Svid { ca, id, out, ttl, dns, force } => {
            let id = SpiffeId::parse(id).map_err(|reason| {
                anyhow::anyhow!("--id {id}: {reason}; for example: spiffe://shop.example/sa/cart")
            })?;
            svid(ca, &id, out, *ttl, dns, *force)
        }
    }
}

fn ca(domain: &str, out: &Path, ttl: Duration, force: bool) -> Result<ExitCode> {
    if let Err(reason) = trust_domain(domain) {
        bail!("--trust-domain {domain}: {reason}; for example: shop.example");
    }
    let key = KeyPair::generate()?;
    let mut params = authority(domain)?;
    let ends = hold(&mut params, ttl)?;
    let certificate = params.self_signed(&key)?;
    let files = [(CA_KEY, key.serialize_pem(), PRIVATE), (CA_CERT, certificate.pem(), PUBLIC)];
    write_all(out, &files, force)?;
    print(&format!(
        "authority of {domain}, until {ends}\n  {}\n  {}\n",
        out.join(CA_CERT).display(),
        out.join(CA_KEY).display()
    ))
}

fn svid(
    ca: &Path,
    id: &SpiffeId,
    out: &Path,
    ttl: Duration,
    dns: &[String],
    force: bool,
) -> Result<ExitCode> {
    let (issuer, bundle, last) = issuer(ca, id)?;
    let mut params = CertificateParams::new(dns.to_vec()).context("--dns")?;
    params.subject_alt_names.push(SanType::URI(id.as_str().try_into()?));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let ends = hold(&mut params, ttl)?;
    ensure!(
        params.not_after.unix_timestamp() <= last,
        "--ttl: the authority in {} ends before; choose less, or make another authority",
        ca.display()
    );
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    // The key first: whoever reads in between has a certificate whose key is to come, and waits for it.
    let files = [
        ("bundle.pem", bundle, PUBLIC),
        ("svid.key", key.serialize_pem(), PRIVATE),
        ("svid.pem", certificate.pem(), PUBLIC),
    ];
    write_all(out, &files, force)?;
    print(&format!(
        "{id}, until {ends}\n  {}\n  {}\n  {}\n",
        out.join("svid.pem").display(),
        out.join("svid.key").display(),
        out.join("bundle.pem").display()
    ))
}

const ORGANIZATION: &str = "Weir development";

/// What every authority of a trust domain says of itself: enough to make one again from its key.
fn authority(domain: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    // An authority is named by its trust domain (SPIFFE X.509-SVID 4.1).
    params.subject_alt_names.push(SanType::URI(format!("spiffe://{domain}").as_str().try_into()?));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// From a little before now. Answers when it ends, for people.
fn hold(params: &mut CertificateParams, ttl: Duration) -> Result<String> {
    ensure!(ttl >= Duration::from_secs(1), "--ttl: a second is the least");
    let now = OffsetDateTime::now_utc();
    let ends = time::Duration::try_from(ttl).ok().and_then(|ttl| now.checked_add(ttl));
    params.not_before = now - SKEW;
    params.not_after = ends.context("--ttl is too long")?;
    let (date, time) = (params.not_after.date(), params.not_after.time());
    Ok(format!("{date} {:02}:{:02}:{:02} UTC", time.hour(), time.minute(), time.second()))
}

/// The authority in a folder, its certificate, and the last second of its time since 1970.
fn issuer(folder: &Path, id: &SpiffeId) -> Result<(Issuer<'static, KeyPair>, String, i64)> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read; `weir certs ca` makes an authority", path.display()))
    };
    let (pem, key) = (read(CA_CERT)?, read(CA_KEY)?);
    let key = KeyPair::from_pem(&key).with_context(|| format!("{CA_KEY} in {}", folder.display()))?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .with_context(|| format!("{CA_CERT} in {}", folder.display()))?;
    let (_, certificate) = X509Certificate::from_der(&der)?;
    ensure!(
        *certificate.public_key().subject_public_key.data == *key.public_key_raw(),
        "{CA_CERT} and {CA_KEY} in {} do not belong together",
        folder.display()
    );
    let names = certificate.subject_alternative_name()?;
    let own = names.iter().flat_map(|names| &names.value.general_names).find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    });
    let own = own.with_context(|| format!("{CA_CERT} in {} names no trust domain", folder.display()))?;
    ensure!(
        own == id.trust_domain(),
        "--id {id}: the authority in {} is that of the trust domain {own}",
        folder.display()
    );
    let last = certificate.validity().not_after.timestamp();
    Ok((Issuer::new(authority(own)?, key), pem, last))
}

/// Who may read a file.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Writes all files, or says which is there already and writes none. Each is under its name when it is whole, so that
/// a proxy which watches it never reads half of one.
fn write_all(folder: &Path, files: &[(&str, String, u32)], force: bool) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    if !force {
        for (name, ..) in files {
            let path = folder.join(name);
            ensure!(!path.exists(), "{} is there already; --force overwrites it", path.display());
        }
    }
    for (name, content, mode) in files {
        let draft = folder.join(format!(".{name}.new"));
        // One of another's making might be readable by others.
        let _ = fs::remove_file(&draft);
        let written = fs::OpenOptions::new().write(true).create_new(true).mode(*mode).open(&draft);
        let written = written.and_then(|mut file| file.write_all(content.as_bytes()));
        let named = written.and_then(|()| fs::rename(&draft, folder.join(name)));
        named.with_context(|| format!("{} cannot be written", folder.join(name).display()))?;
    }
    Ok(())
}
