//! An SVID from files, which somebody else writes while the proxy reads.
//!
//! Certificate and key are two files and cannot change at once. What does not belong together is read again a few
//! times; if that is of no use, the pair before stays in force until the files change the next time.

use std::{path::Path, thread, time::Duration};

use weir_config::checked::{Certificate, Identity};

use super::{TlsError, TlsFault, files::Files};
use crate::identity::{Svid, SvidFault, svid::Material};

/// How often files that do not fit are read again, and after how long: whoever writes a certificate writes its
/// key a moment later.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(25);

/// Reads and checks the files of an identity. Waits a little for files that are being written: to be called where
/// that holds up nobody.
pub fn read_svid(spec: &Identity, certificate: &Certificate, bundle: &Path) -> Result<Svid, TlsError> {
    let mut tries = TRIES;
    loop {
        match read_once(spec, certificate, bundle) {
            Err(error) if tries > 1 && may_be_half_written(&error.fault) => {
                tries -= 1;
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

fn read_once(spec: &Identity, certificate: &Certificate, bundle: &Path) -> Result<Svid, TlsError> {
    let files = Files::read([certificate.cert.as_path(), certificate.key.as_path(), bundle])?;
    let material = Material {
        chain: files.certificates(&certificate.cert)?,
        key: files.key(&certificate.key)?,
        bundle: files.certificates(bundle)?,
        federated: Vec::new(),
    };
    let file = |fault: &SvidFault| match fault {
        SvidFault::Bundle(_) => bundle.to_owned(),
        SvidFault::Key(_) => certificate.key.clone(),
        _ => certificate.cert.clone(),
    };
    Svid::new(material, spec.id.as_ref()).map_err(|fault| {
        let file = file(&fault);
        TlsError::new(
            file,
            match fault {
                SvidFault::KeyMismatch => TlsFault::KeyMismatch(certificate.key.clone()),
                SvidFault::Key(error) => TlsFault::Key(error),
                fault => TlsFault::Svid(fault),
            },
        )
    })
}

fn may_be_half_written(fault: &TlsFault) -> bool {
    match fault {
        TlsFault::Unreadable(error) => error.kind() == std::io::ErrorKind::NotFound,
        TlsFault::Pem(_) | TlsFault::NoCertificate | TlsFault::NoKey | TlsFault::KeyMismatch(_) => true,
        TlsFault::Certificate(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::svid::{leaf, unix_now};
    use std::{fs, path::PathBuf};
    use tempfile::TempDir;
    use weir_config::{checked::IdentitySource, spiffe::SpiffeId};
    use weir_testkit::{Ca, SvidPlan};

    struct Stage {
        folder: TempDir,
        ca: Ca,
    }

    impl Stage {
        fn new() -> Self {
            let stage = Self { folder: tempfile::tempdir().unwrap(), ca: Ca::new().unwrap() };
            stage.ca.write_to(stage.folder.path(), "bundle").unwrap();
            stage
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, plan: &SvidPlan<'_>) -> weir_testkit::Leaf {
            let leaf = self.ca.svid(plan).unwrap();
            leaf.write_to(self.folder.path(), "svid").unwrap();
            leaf
        }

        fn read(&self, id: Option<&str>) -> Result<Svid, TlsError> {
            let certificate = Certificate { cert: self.path("svid.pem"), key: self.path("svid.key") };
            let bundle = self.path("bundle.pem");
            let source = IdentitySource::Files { certificate: certificate.clone(), bundle: bundle.clone() };
            let id = id.map(|id| SpiffeId::parse(id).unwrap());
            read_svid(&Identity { name: "web".into(), source, id }, &certificate, &bundle)
        }
    }

    const WEB: &str = "spiffe://td/sa/web";

    #[test]
    fn an_svid_knows_its_name_its_time_and_whom_it_trusts() {
        let stage = Stage::new();
        let first = stage.write(&SvidPlan::of(WEB));
        let svid = stage.read(Some(WEB)).unwrap();
        assert_eq!(svid.id().as_str(), WEB);
        assert_eq!(svid.trust_domains().collect::<Vec<_>>(), ["td"]);
        assert!(svid.authorities("other").is_none());
        assert!((3500..=3600).contains(&svid.expires_in(unix_now())));
        assert_eq!(leaf(&first.der()).unwrap().id.as_str(), WEB);

        stage.write(&SvidPlan::of(WEB));
        let renewed = stage.read(None).unwrap();
        assert_eq!(svid.trust(), renewed.trust());
        assert_ne!(svid.digest(), renewed.digest());
        Ca::new().unwrap().write_to(stage.folder.path(), "bundle").unwrap();
        assert_ne!(stage.read(None).unwrap().trust(), renewed.trust());
    }

    #[test]
    fn a_key_that_comes_later_is_waited_for() {
        let stage = Stage::new();
        let old = stage.write(&SvidPlan::of(WEB));
        let new = stage.ca.svid(&SvidPlan::of(WEB)).unwrap();
        fs::write(stage.path("svid.pem"), new.pem()).unwrap();
        let late = thread::scope(|scope| {
            let reading = scope.spawn(|| stage.read(None));
            thread::sleep(PAUSE);
            fs::write(stage.path("svid.key"), new.key_pem()).unwrap();
            reading.join().unwrap()
        });
        assert_eq!(late.unwrap().certified().cert[0], new.der());

        fs::write(stage.path("svid.key"), old.key_pem()).unwrap();
        let error = stage.read(None).unwrap_err();
        assert!(matches!(error.fault, TlsFault::KeyMismatch(_)), "{error}");
    }

    #[test]
    fn what_is_no_svid_of_a_workload_says_why() {
        let stage = Stage::new();
        let refused = |plan: &SvidPlan<'_>, id: Option<&str>| {
            stage.write(plan);
            let error = stage.read(id).unwrap_err();
            assert!(!error.hint().is_empty());
            error.to_string()
        };
        let cases = [
            (SvidPlan { ca: true, ..SvidPlan::of(WEB) }, "an authority"),
            (SvidPlan { signs_certificates: true, ..SvidPlan::of(WEB) }, "may sign certificates"),
            (SvidPlan { key_usage: false, ..SvidPlan::of(WEB) }, "what its key is for"),
            (SvidPlan { more: &["spiffe://td/other"], ..SvidPlan::of(WEB) }, "more than one URI"),
            (SvidPlan::of("spiffe://td"), "no workload"),
            (SvidPlan::of("https://td/web"), "begin with"),
            (SvidPlan::of("web.example"), "no URI"),
        ];
        for (plan, reason) in cases {
            let told = refused(&plan, None);
            assert!(told.contains(reason), "{told}");
        }
        let told = refused(&SvidPlan::of(WEB), Some("spiffe://td/sa/cart"));
        assert!(told.contains("is the SVID of spiffe://td/sa/web"), "{told}");
    }
}
