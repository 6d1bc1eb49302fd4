//! `cargo xtask test`: everything built and tested once, in one profile, with one line at the end.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};

use crate::{cargo::cargo, wasm_target};

/// `rest` goes to `cargo test`.
pub(crate) fn run(rest: &[&str]) -> Result<()> {
    wasm_target::ensure()?;
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    let mut child = command.args(rest).stdout(Stdio::piped()).spawn().context("running cargo test")?;
    let output = BufReader::new(child.stdout.take().context("cargo's output")?);
    let mut tally = Tally::default();
    for line in output.split(b'\n') {
        let line = line.context("reading cargo's output")?;
        let line = String::from_utf8_lossy(&line);
        writeln!(std::io::stdout(), "{line}")?;
        tally.read(&line);
    }
    let status = child.wait().context("waiting for cargo test")?;
    for name in &tally.names {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ensure!(tally.failed == 0, "tests failed");
    ensure!(status.success(), "cargo test failed ({status}): not everything was built and run");
    ensure!(tally.passed > 0, "no test was run");
    Ok(())
}

/// What the test programs said together.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    names: Vec<String>,
}

impl Tally {
    /// libtest prints `test NAME ... FAILED` per failure, and at the end of each program
    /// `test result: ok. 3 passed; 0 failed; ...`.
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let before = result.split(&['.', ';'][..]).find_map(|part| part.trim().strip_suffix(word));
                before.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            self.passed += number("passed");
            self.failed += number("failed");
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.names.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_programs_are_added_up() {
        let mut tally = Tally::default();
        let lines = "test a::b ... ok\ntest c ... FAILED\n\
             test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
             test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        lines.lines().for_each(|line| tally.read(line));
        assert_eq!(tally, Tally { passed: 15, failed: 1, names: vec!["c".into()] });
    }
}
