//! `weir capture`: rules that are put in force, in place of those before, and taken away without a trace.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use weir_testkit::{Namespace, Output};

use crate::stage::{WEIR, is_there, namespace};

const RULES: [&str; 8] =
    ["--outbound", "15001", "--inbound", "15006", "--user", "998", "--skip-inbound-ports", "22,9901"];

/// What a program prints within the namespace, if it ends well.
pub(crate) fn said(namespace: &Namespace, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = namespace.output(command)?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn nft_rules_are_installed_again_and_again_and_removed_without_a_trace() -> Result<()> {
    let Some(namespace) = is_there("nft").then(namespace).flatten() else { return Ok(()) };
    let install = [&["capture", "install", "--tool", "nft"], &RULES[..]].concat();
    said(&namespace, WEIR, &install)?;
    let first = said(&namespace, "nft", &["list", "ruleset"])?;
    ensure!(first.contains("redirect to :15001") && first.contains("redirect to :15006"), "{first}");
    ensure!(first.contains("meta skuid 998 return"), "{first}");
    said(&namespace, WEIR, &install)?;
    ensure!(said(&namespace, "nft", &["list", "ruleset"])? == first, "the second time changed something");
    for _ in 0..2 {
        said(&namespace, WEIR, &["capture", "remove", "--tool", "nft"])?;
        let left = said(&namespace, "nft", &["list", "ruleset"])?;
        ensure!(!left.contains("weir"), "{left}");
    }
    Ok(())
}

#[test]
fn iptables_rules_are_installed_again_and_again_and_removed_without_a_trace() -> Result<()> {
    let Some(namespace) = is_there("iptables").then(namespace).flatten() else { return Ok(()) };
    let list = |namespace: &Namespace| said(namespace, "iptables", &["-t", "nat", "-S"]);
    let before = list(&namespace)?;
    let install = [&["capture", "install", "--tool", "iptables"], &RULES[..]].concat();
    said(&namespace, WEIR, &install)?;
    let first = list(&namespace)?;
    ensure!(first.contains("-A OUTPUT -p tcp -j WEIR_OUTBOUND"), "{first}");
    ensure!(first.contains("--to-ports 15001") && first.contains("--to-ports 15006"), "{first}");
    said(&namespace, WEIR, &install)?;
    ensure!(list(&namespace)? == first, "the second time changed something");
    for _ in 0..2 {
        said(&namespace, WEIR, &["capture", "remove", "--tool", "iptables"])?;
        ensure!(list(&namespace)? == before, "{}", list(&namespace)?);
    }
    Ok(())
}

#[tokio::test]
async fn print_tells_the_rules_and_does_nothing() -> Result<()> {
    let print = [&["capture", "print", "--tool", "nft"], &RULES[..]].concat();
    let told = Output::of(WEIR, &print).await?;
    ensure!(told.status.success(), "{told:?}");
    ensure!(told.stdout.iter().any(|line| line.trim() == "meta l4proto tcp redirect to :15001"), "{told:?}");
    let print = [&["capture", "print", "--tool", "iptables"], &RULES[..]].concat();
    let told = Output::of(WEIR, &print).await?;
    ensure!(told.stdout.iter().any(|line| line.starts_with("ip6tables-restore --noflush")), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn what_would_go_round_in_circles_is_refused() -> Result<()> {
    for (arguments, named) in [
        (&["capture", "print", "--tool", "nft"][..], "nothing is captured"),
        (&["capture", "print", "--tool", "nft", "--outbound", "15001"][..], "--user"),
        (&["capture", "print", "--outbound", "1", "--user", "no-such-user-here"][..], "no user"),
        (&["capture", "print", "--inbound", "1", "--skip-inbound-ports", "9-8"][..], "above the last"),
    ] {
        let told = Output::of(WEIR, arguments).await?;
        let text = told.stderr.join("\n");
        ensure!(!told.status.success() && text.contains(named), "{arguments:?}: {told:?}");
    }
    let none = Output::of(WEIR, &["capture", "remove", "--help"]).await?;
    none.stdout.first().context("no help")?;
    Ok(())
}
