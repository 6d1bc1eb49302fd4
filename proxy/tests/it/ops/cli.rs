//! The commands beside `run`: what they print, and how they end.

use anyhow::Result;
use weir_testkit::{Ca, Output};

use crate::stage::WEIR;

async fn weir(arguments: &[&str]) -> Result<Output> {
    Output::of(WEIR, arguments).await
}

/// `weir check` on this configuration, in a folder with these files.
async fn check(config: &str, files: &[(&str, &[u8])]) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content)?;
    }
    let path = folder.path().join("weir.toml");
    std::fs::write(&path, config)?;
    let output = weir(&["check", "--config", &path.display().to_string()]).await?;
    let left: Vec<_> = std::fs::read_dir(folder.path())?.collect();
    assert_eq!(left.len(), files.len() + 1, "check wrote something: {left:?}");
    Ok(output)
}

const LEAST: &str = "[listeners.web]\naddress = \"127.0.0.1:0\"\ncluster = \"users\"\n\
    [clusters.users]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n";

#[tokio::test]
async fn version_names_weir_and_its_contract() -> Result<()> {
    let told = weir(&["version"]).await?;
    assert!(told.status.success());
    assert_eq!(told.stdout[0], format!("weir {}", env!("CARGO_PKG_VERSION")));
    assert!(told.stdout[1].starts_with("weir:policy "), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn schema_is_json_that_names_every_section() -> Result<()> {
    let told = weir(&["schema"]).await?;
    assert!(told.status.success());
    let schema: serde_json::Value = serde_json::from_str(&told.stdout.join("\n"))?;
    for section in ["admin", "listeners", "filters", "clusters", "access_log"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    Ok(())
}

#[tokio::test]
async fn a_good_configuration_is_fine() -> Result<()> {
    let told = check(LEAST, &[]).await?;
    assert!(told.status.success(), "{told:?}");
    assert!(told.stdout[0].ends_with("weir.toml: fine"), "{told:?}");
    assert!(told.stderr.is_empty(), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_wrong_is_told_line_by_line() -> Result<()> {
    let told = check(&LEAST.replace("cluster =", "clutser =").replace("127.0.0.1:9", "nowhere"), &[]).await?;
    assert_eq!(told.status.code(), Some(1));
    let text = told.stderr.join("\n");
    for expected in ["weir.toml:3:", "clutser", "weir.toml:5:", "nowhere", "help: "] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    assert!(told.stdout.is_empty(), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn everything_that_run_would_refuse_is_found_at_once() -> Result<()> {
    let config = LEAST.replace(
        "cluster = \"users\"\n",
        "cluster = \"users\"\nchain = [\"text\", \"strict\"]\n\
         tls = { certificates = [{ cert = \"web.pem\", key = \"web.key\" }] }\n",
    ) + "[filters.text]\nwasm = \"text.wasm\"\n\
         [filters.strict]\nwasm = \"builtin:router\"\nconfig = { nonsense = 1 }\n";
    let (one, other) = (Ca::new()?.leaf(&["a.example"])?, Ca::new()?.leaf(&["a.example"])?);
    let (cert, key) = (one.pem(), other.key_pem());
    let files: [(&str, &[u8]); 3] =
        [("text.wasm", b"no wasm"), ("web.pem", cert.as_bytes()), ("web.key", key.as_bytes())];
    let told = check(&config, &files).await?;
    assert_eq!(told.status.code(), Some(1));
    let text = told.stderr.join("\n");
    for expected in [
        "filters.text: not WebAssembly",
        "filters.strict: ",
        "nonsense",
        "listeners.web: ",
        "web.pem",
        "3 errors",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn warnings_do_not_fail_a_check() -> Result<()> {
    let unused = LEAST.to_owned() + "[clusters.idle]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n";
    let told = check(&unused, &[]).await?;
    assert!(told.status.success(), "{told:?}");
    assert!(told.stderr.join("\n").contains("warning: "), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn inspect_says_what_a_filter_is() -> Result<()> {
    let told = weir(&["filter", "inspect", "builtin:jwt"]).await?;
    assert!(told.status.success(), "{told:?}");
    let text = told.stdout.join("\n");
    for expected in [
        "kind     policy",
        "contract weir:policy@0.1",
        "hooks    request",
        "imports  weir:policy/",
        "bytes",
        "sha256   ",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn inspect_reads_files_and_refuses_what_is_no_filter() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, content: &[u8]| -> Result<String> {
        std::fs::write(folder.path().join(name), content)?;
        Ok(folder.path().join(name).display().to_string())
    };
    let good = file("router.wasm", &super::variant("router", 1)?)?;
    assert!(weir(&["filter", "inspect", &good]).await?.status.success());
    let empty_module = file("empty.wasm", b"\0asm\x01\0\0\0")?;
    let cases = [
        (file("text.wasm", b"hello")?, "not WebAssembly"),
        (empty_module, "no policy"),
        (folder.path().join("missing.wasm").display().to_string(), "cannot be read"),
        ("builtin:nothing".to_owned(), "there are: api-key, canary"),
    ];
    for (file, expected) in cases {
        let told = weir(&["filter", "inspect", &file]).await?;
        assert_eq!(told.status.code(), Some(1), "{told:?}");
        assert!(told.stderr.join("\n").contains(expected), "no {expected:?} in {told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_call_ends_with_2() -> Result<()> {
    for arguments in [&["fly"][..], &["check"], &["run"], &[]] {
        let told = weir(arguments).await?;
        assert_eq!(told.status.code(), Some(2), "{arguments:?}: {told:?}");
        assert!(told.stderr.join("\n").contains("Usage: weir"), "{told:?}");
    }
    Ok(())
}
