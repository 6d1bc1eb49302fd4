//! The benchmark runs, from end to end, and its reports hold what they promise; the commands that its README tells to
//! type work. Figures are not judged: a test machine is busy.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Options of a documented command that would take long, and what they are here.
const TINY: [(&str, &str); 7] = [
    ("--rounds", "1"),
    ("--seconds", "0.1"),
    ("--idle", "8"),
    ("--reload", "20"),
    ("--swap", "1"),
    ("--rate", "200"),
    ("--requests", "3"),
];

fn weir_load(arguments: &[&str]) -> Result<Output> {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_weir-load"));
    let weir = own.parent().context("a folder")?.join("weir");
    ensure!(weir.is_file(), "{} is built by `cargo test --workspace`", weir.display());
    let (mode, options) = arguments.split_first().context("a mode")?;
    Ok(Command::new(own).arg(mode).arg("--weir").arg(weir).args(options).output()?)
}

/// Runs it with `--json` and gives what it wrote, and what it said.
fn reported(arguments: &[&str]) -> Result<(Value, String)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let output = weir_load(&[arguments, &["--json", &file.display().to_string()]].concat())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok((serde_json::from_slice(&std::fs::read(&file)?)?, said))
}

fn is_positive(value: &Value) -> bool {
    value.as_f64() > Some(0.0)
}

#[test]
fn a_short_run_reports_every_subject() -> Result<()> {
    let arguments = "run --work h1,h2c,tls,tls-new,mtls,mtls-new,websocket --policies none,four --peers floor --rounds 1 --seconds 0.2 --rate 300";
    let (report, said) = reported(&arguments.split(' ').collect::<Vec<_>>())?;
    let loads = report["loads"].as_array().context("loads")?;
    assert_eq!(loads.len(), 7 * 2 * 2, "{said}");
    for load in loads {
        let measured = load["missing"].is_null();
        assert!(measured || load["subject"] != "weir", "{load}");
        assert_eq!(measured, is_positive(&load["cpu_us"]["median"]), "{load}");
        assert_eq!(measured, is_positive(&load["p99_us"]), "{load}");
        assert!(is_positive(&load["rate"]), "{load}");
        assert_eq!(load["failed"], 0, "{load}");
    }
    let floor = &loads[1];
    assert!(is_positive(&floor["weir_ratio"]["median"]), "{floor}");
    Ok(())
}

#[test]
fn a_relay_is_measured_beside_a_bare_one() -> Result<()> {
    let arguments =
        "run --work tcp,tcp-echo --policies none,four --peers splice --rounds 1 --seconds 0.2 --rate 20";
    let (report, said) = reported(&arguments.split(' ').collect::<Vec<_>>())?;
    let loads = report["loads"].as_array().context("loads")?;
    assert_eq!(loads.len(), 2 * 2 * 2, "{said}");
    for load in loads {
        // Policies decide on requests.
        assert_eq!(is_positive(&load["cpu_us"]["median"]), load["policies"] == "none", "{load}");
        assert_eq!(load["missing"].is_null(), load["policies"] == "none", "{load}");
        assert_eq!(load["failed"], 0, "{load}");
    }
    assert!(is_positive(&loads[1]["weir_ratio"]["median"]) && said.contains("us/message"), "{said}");
    Ok(())
}

/// Of the peers, whichever are installed.
#[test]
fn peers_do_the_same_works() -> Result<()> {
    let arguments = "run --work mtls,mtls-new,websocket,tcp,tcp-echo --policies none --peers haproxy,nginx,envoy --rounds 1 --seconds 0.2 --rate 20";
    let (report, said) = reported(&arguments.split(' ').collect::<Vec<_>>())?;
    for load in report["loads"].as_array().context("loads")? {
        let missing = load["missing"].as_str().unwrap_or_default();
        assert!(missing.is_empty() || missing.contains("no stream module installed"), "{load}\n{said}");
        assert_eq!(load["failed"], 0, "{load}");
    }
    Ok(())
}

#[test]
fn memory_start_swaps_and_a_reload_are_reported() -> Result<()> {
    let arguments = "run --work body --policies none,noop --peers floor --rounds 1 --seconds 0.5 --idle 8 --swap 2 --reload 20";
    let (report, said) = reported(&arguments.split(' ').collect::<Vec<_>>())?;
    assert!(is_positive(&report["loads"][0]["cpu_s_per_gb"]) && said.contains("CPU s/GB"), "{said}");
    for (part, least) in [("idle", 2), ("starts", 2), ("instances", 1), ("swaps", 1)] {
        assert!(report[part].as_array().is_some_and(|all| all.len() >= least), "{part}: {said}");
    }
    assert!(is_positive(&report["reload"]["live_ms"]["median"]), "{said}");
    let swapped = &report["swaps"][0];
    assert!(is_positive(&swapped["swaps"]) && is_positive(&swapped["swap_ms"]["median"]), "{said}");
    for part in ["before", "during", "after"] {
        assert!(is_positive(&swapped[part]["p99_us"]) && swapped[part]["failed"] == 0, "{part}: {said}");
    }
    Ok(())
}

#[test]
fn instructions_are_counted_where_valgrind_is_installed() -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(());
    }
    let arguments = "spine --work h1 --policies none --requests 20";
    let (report, said) = reported(&arguments.split(' ').collect::<Vec<_>>())?;
    assert!(report[0]["instructions"].as_f64() > Some(1_000.0), "{said}");
    let functions = report[0]["functions"].as_array().context("functions")?;
    assert!(functions.iter().any(|one| one["name"].to_string().contains("weir::http")), "{said}");
    Ok(())
}

#[test]
fn who_lacks_valgrind_is_told_what_to_install() -> Result<()> {
    let own = env!("CARGO_BIN_EXE_weir-load");
    let output = Command::new(own).args(["spine", "--weir", own]).env("PATH", "").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("apt-get install valgrind"), "{said}");
    Ok(())
}

/// The `cargo xtask bench load` and `spine` of the README's `sh` blocks, with little to do: without their peers, and
/// of several works and policies only the first.
#[test]
fn what_the_readme_tells_to_type_works() -> Result<()> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: Vec<&str> = blocks.flat_map(str::lines).collect();
    let mut tried = 0;
    for command in commands {
        let words: Vec<&str> = command.split(" #").next().unwrap_or_default().split_whitespace().collect();
        let ["cargo", "xtask", "bench", mode @ ("load" | "spine"), options @ ..] = &*words else { continue };
        let mut arguments = vec![if *mode == "load" { "run" } else { "spine" }];
        for pair in options.chunks(2) {
            let [name, value] = pair else { anyhow::bail!("{command}: {pair:?} has no value") };
            let value = match *name {
                "--json" => continue,
                "--peers" => "plain",
                "--work" | "--policies" => value.split(',').next().unwrap_or(value),
                _ => TINY.iter().find(|(tiny, _)| tiny == name).map_or(*value, |(_, tiny)| tiny),
            };
            arguments.extend([name, value]);
        }
        let short = match *mode {
            "load" => [("--rounds", "1"), ("--seconds", "0.1")],
            _ => [("--requests", "3"), ("--policies", "none")],
        };
        for (name, value) in short.into_iter().chain([("--work", "h1")]) {
            if !arguments.contains(&name) {
                arguments.extend([name, value]);
            }
        }
        if *mode == "spine" && Command::new("valgrind").arg("--version").output().is_err() {
            continue;
        }
        reported(&arguments).with_context(|| command.to_owned())?;
        tried += 1;
    }
    assert!(tried >= 3, "only {tried} commands were found");
    Ok(())
}
