//! Weir's chores, run as `cargo xtask CHORE`. One file per chore; here only the choice among them.

#![allow(clippy::print_stdout)] // Its output is what a chore is for.

mod bench;
mod cargo;
mod check;
mod demo;
mod duplicates;
mod test;
mod wasm_target;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask CHORE

  test          build everything and run every test; ends with `N passed, N failed`
  check         formatting, lints, no new duplicate dependencies
  bench load    measure Weir beside its peers; options in benches/README.md
  bench spine   count the instructions of one exchange (needs valgrind)
  bench micro   measure its parts
  demo          start Weir with four policies in front of two versions of a service, and say what to try
  demo --once   play the same steps, check each, and end
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["test", rest @ ..] => test::run(rest),
        ["check"] => check::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["demo", rest @ ..] => demo::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("no such chore: {}\n\n{USAGE}", other.join(" ")),
    }
}
