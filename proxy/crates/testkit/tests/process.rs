//! The process harness, driven with a shell script in Weir's place.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use anyhow::{Context, Result};
use weir_testkit::{Launch, Output, Signal};

/// Behaves like `weir run --config FILE --announce FILE`, as far as the harness looks.
const STAND_IN: &str = r#"#!/bin/sh
test "$1 $2 $4" = "run --config --announce" || exit 9
if grep -q wrong "$3"; then echo "weir.toml:1:1: error: wrong" >&2; exit 2; fi
trap 'echo reloading' USR1
trap 'echo leaving; exit 0' TERM
echo "config is $(cat "$3")"
echo "speaking up" >&2
echo '{"admin":"127.0.0.1:9","listeners":{"web":"127.0.0.1:10"}}' > "$5.new"
mv "$5.new" "$5"
while :; do sleep 0.01; done
"#;

fn stand_in(folder: &tempfile::TempDir) -> Result<PathBuf> {
    let path = folder.path().join("weir");
    std::fs::write(&path, STAND_IN)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

#[tokio::test]
async fn a_process_is_started_watched_signalled_and_ended() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut weir = Launch::new(stand_in(&folder)?, "in {dir}").file("extra", "content").start().await?;
    assert_eq!(weir.address("web")?.port(), 10);
    assert_eq!(weir.admin()?.port(), 9);
    assert!(weir.address("other").is_err());
    assert_eq!(std::fs::read(weir.path("extra"))?, b"content");
    let line = weir.line_with("config is").await?;
    assert_eq!(line, format!("config is in {}", weir.path("").display().to_string().trim_end_matches('/')));
    weir.line_with("speaking up").await?;
    // Not HUP: a shell cannot trap what was ignored when it began, as under `nohup`.
    weir.signal(Signal::USR1)?;
    weir.line_with("reloading").await?;
    weir.rewrite_config("new")?;
    assert_eq!(std::fs::read(weir.path("weir.toml"))?, b"new");
    assert!(weir.resident()? > 0);
    weir.signal(Signal::TERM)?;
    assert!(weir.ended().await?.success());
    assert_eq!(weir.stdout().last().context("no output")?, "leaving");
    Ok(())
}

#[tokio::test]
async fn a_process_that_refuses_its_configuration_is_reported() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = Launch::new(stand_in(&folder)?, "wrong").refused().await?;
    assert_eq!(
        (output.status.code(), output.stderr),
        (Some(2), vec!["weir.toml:1:1: error: wrong".to_owned()])
    );
    let error = Launch::new(stand_in(&folder)?, "wrong").start().await.err().context("it started")?;
    assert!(error.to_string().contains("error: wrong"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_dropped_process_is_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weir = Launch::new(stand_in(&folder)?, "").start().await?;
    let (id, path) = (weir.id(), weir.path(""));
    drop(weir);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    assert!(!path.exists());
    Ok(())
}

#[tokio::test]
async fn a_command_is_run_to_its_end() -> Result<()> {
    let output = Output::of("sh", &["-c", "echo out; echo err >&2; exit 3"]).await?;
    assert_eq!(
        (output.status.code(), output.stdout, output.stderr),
        (Some(3), vec!["out".into()], vec!["err".into()])
    );
    Ok(())
}
