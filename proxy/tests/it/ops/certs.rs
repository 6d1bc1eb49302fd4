//! `weir certs`: what it makes can be used, and what is there is not lost.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Launch, Output};

use crate::stage::{WEIR, plain};

async fn certs(folder: &Path, line: &str) -> Result<Output> {
    let line = line.replace("{}", &folder.display().to_string());
    let arguments: Vec<&str> = std::iter::once("certs").chain(line.split_whitespace()).collect();
    Output::of(WEIR, &arguments).await
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

#[tokio::test]
async fn two_proxies_meet_with_what_it_makes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    assert!(certs(folder.path(), "ca --trust-domain td --out {}/ca").await?.status.success());
    for name in ["users", "web"] {
        let told =
            certs(folder.path(), &format!("svid --ca {{}}/ca --id spiffe://td/sa/{name} --out {{}}/{name}"))
                .await?;
        assert!(told.status.success(), "{told:?}");
        assert!(told.stdout[0].starts_with(&format!("spiffe://td/sa/{name}, until ")), "{told:?}");
        assert_eq!((mode(&at(name).join("svid.key"))?, mode(&at(name).join("svid.pem"))?), (0o600, 0o644));
    }
    assert_eq!(mode(&at("ca/ca.key"))?, 0o600);
    let origin = EchoOrigin::start("origin").await?;
    let start = async |name: &str, config: String| {
        let file = |file: &str| fs::read(at(name).join(file));
        Launch::new(WEIR, config)
            .file("svid.pem", file("svid.pem")?)
            .file("svid.key", file("svid.key")?)
            .file("bundle.pem", file("bundle.pem")?)
            .start()
            .await
    };
    let listener = "cluster = \"origin\"\ntls = { identity = \"own\", peers = [\"spiffe://td/sa/web\"] }\n";
    let config = plain(origin.address(), super::super::mesh::IDENTITY);
    let users = start("users", config.replace("cluster = \"origin\"\n", listener)).await?;
    let cluster = "[clusters.origin]\ntls = { identity = \"own\", expect = [\"spiffe://td/sa/users\"] }\n";
    let config = plain(users.address("web")?, super::super::mesh::IDENTITY);
    let web = start("web", config.replace("[clusters.origin]\n", cluster)).await?;
    assert_eq!(Http1::fetch(web.address("web")?, "/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_there_stays_unless_it_is_forced() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = "ca --trust-domain td --out {}/ca";
    assert!(certs(folder.path(), ca).await?.status.success());
    let key = || fs::read(folder.path().join("ca/ca.key"));
    let before = key()?;
    let refused = certs(folder.path(), ca).await?;
    assert!(!refused.status.success() && refused.stderr[0].contains("--force"), "{refused:?}");
    assert_eq!(key()?, before);
    assert!(certs(folder.path(), &format!("{ca} --force")).await?.status.success());
    assert_ne!(key()?, before);
    let left: Vec<_> = fs::read_dir(folder.path().join("ca"))?.collect();
    assert_eq!(left.len(), 2, "{left:?}");
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    assert!(certs(folder.path(), "ca --trust-domain td --out {}/ca --ttl 1h").await?.status.success());
    for (line, told) in [
        ("ca --trust-domain Shop --out {}/x", "for example: shop.example"),
        ("svid --ca {}/ca --id spiffe://td --out {}/x", "for example: spiffe://"),
        ("svid --ca {}/ca --id spiffe://other/a --out {}/x", "trust domain td"),
        ("svid --ca {}/none --id spiffe://td/a --out {}/x", "weir certs ca"),
        ("svid --ca {}/ca --id spiffe://td/a --out {}/x --ttl 2h", "ends before"),
        ("svid --ca {}/ca --id spiffe://td/a --out {}/x --ttl 2hours", "2h"),
    ] {
        let refused = certs(folder.path(), line).await?;
        assert!(!refused.status.success(), "{line}");
        assert!(refused.stderr.iter().any(|said| said.contains(told)), "{line}: {refused:?}");
    }
    assert!(!folder.path().join("x").exists());
    Ok(())
}
