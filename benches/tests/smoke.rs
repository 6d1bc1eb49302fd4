//! The load benchmark runs, from end to end, and its report holds what it promises. Its figures are not judged: a
//! test machine is busy.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

#[test]
fn a_short_run_reports_every_subject() -> Result<()> {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_weir-load"));
    let weir = own.parent().context("a folder")?.join("weir");
    anyhow::ensure!(weir.is_file(), "{} is built by `cargo test --workspace`", weir.display());
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let output = Command::new(own)
        .args(["run", "--work", "h1,h2c,tls", "--policies", "none,four", "--peers", "floor"])
        .args(["--rounds", "1", "--seconds", "0.2", "--idle", "20", "--reload", "50"])
        .arg("--json")
        .arg(&report)
        .arg("--weir")
        .arg(weir)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    let loads = report["loads"].as_array().context("loads")?;
    assert_eq!(loads.len(), 3 * 2 * 2, "{said}");
    for load in loads {
        let measured = load["missing"].is_null();
        assert!(measured || load["subject"] != "weir", "{load}");
        assert_eq!(measured, load["cpu_us"]["median"].as_f64() > Some(0.0), "{load}");
        assert_eq!(load["failed"], 0, "{load}");
    }
    let floor = &loads[1];
    assert!(floor["weir_ratio"]["median"].as_f64() > Some(0.0), "{floor}");
    for part in ["idle", "starts"] {
        assert!(report[part].as_array().is_some_and(|all| all.len() >= 2), "{part}: {said}");
    }
    assert!(report["reload"]["live_ms"]["median"].as_f64() > Some(0.0), "{said}");
    Ok(())
}
