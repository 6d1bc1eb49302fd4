//! `examples/mtls-pair`, as its README tells it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use weir_testkit::{EchoOrigin, Http1, Launch, Output, WeirProcess};

use super::counted;
use crate::stage::WEIR;

const PAIR: &str = "mtls-pair";

/// A file of an example.
pub(crate) fn read(example: &str, file: &str) -> Result<String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")).join(example);
    std::fs::read_to_string(folder.join(file)).with_context(|| format!("{example}/{file}"))
}

/// The commands of an example's README that make certificates, in a folder of the test's.
pub(crate) async fn certificates(example: &str, folder: &Path) -> Result<()> {
    let readme = read(example, "README.md")?;
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("weir certs ")).collect();
    ensure!(commands.len() > 1, "{commands:?}");
    for command in commands {
        let mut is_folder = false;
        let one = |word: &str| {
            let names = std::mem::replace(&mut is_folder, ["--ca", "--out"].contains(&word));
            if names { folder.join(word).display().to_string() } else { word.to_owned() }
        };
        let arguments: Vec<String> = command.split_whitespace().skip(1).map(one).collect();
        let made = Output::of(WEIR, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        ensure!(made.status.success(), "{command}: {made:?}");
    }
    Ok(())
}

async fn start(folder: &Path, file: &str, replaced: &[(&str, &str)]) -> Result<WeirProcess> {
    let mut config = read(PAIR, file)?;
    for name in ["web", "users"] {
        config = config.replace(&format!("\"{name}/"), &format!("\"{}/", folder.join(name).display()));
    }
    for (what, with) in replaced {
        ensure!(config.contains(what), "{file}: {what}");
        config = config.replace(what, with);
    }
    Launch::new(WEIR, config).start().await
}

#[tokio::test]
async fn the_pair_of_the_example_does_what_its_readme_says() -> Result<()> {
    let folder = tempfile::tempdir()?;
    certificates(PAIR, folder.path()).await?;
    let origin = EchoOrigin::start("users").await?;
    let app = origin.address().to_string();
    let anywhere = "127.0.0.1:0";
    let ports =
        [("127.0.0.1:3000", app.as_str()), ("127.0.0.1:8443", anywhere), ("127.0.0.1:9902", anywhere)];
    let users = start(folder.path(), "users.toml", &ports).await?;
    let mesh = users.address("mesh")?.to_string();
    let ports =
        [("127.0.0.1:8443", mesh.as_str()), ("127.0.0.1:8080", anywhere), ("127.0.0.1:9901", anywhere)];
    let web = start(folder.path(), "web.toml", &ports).await?;

    let mut client = Http1::connect(web.address("out")?).await?;
    assert_eq!(client.get("/users/7").await?.status, 200);
    for (method, path) in [("DELETE", "/"), ("GET", "/admin"), ("GET", "/admin/x"), ("GET", "/x/../admin")] {
        assert_eq!(client.request(method, path, &[], b"").await?.status, 403, "{method} {path}");
    }
    assert_eq!(origin.requests(), 1);
    assert!(Http1::fetch(users.address("mesh")?, "/").await.is_err());
    counted(&users, "weir_tls_refusals_total{listener=\"mesh\",reason=\"plain_text\"}", 1.0).await?;
    counted(&users, "weir_filter_allowed_by_web_reads_total{filter=\"access\"}", 1.0).await?;
    counted(&users, "weir_filter_denied_by_no_admin_total{filter=\"access\"}", 3.0).await
}
