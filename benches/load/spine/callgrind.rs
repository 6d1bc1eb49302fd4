//! What callgrind wrote, added up by function: instructions of its own, and how often it was called.
//!
//! The format is described in Valgrind's manual, "Callgrind Format Specification".

use std::{collections::HashMap, path::Path};

use anyhow::{Context, Result};

/// The name that all compiled WebAssembly goes by: callgrind sees memory without names there.
pub(super) const WASM: &str = "(WebAssembly)";

/// One run.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// Instructions of all functions together.
    pub(super) total: u64,
    pub(super) functions: HashMap<String, Function>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Function {
    /// Instructions of the function itself, without those that it calls.
    pub(super) own: u64,
    pub(super) calls: u64,
}

pub(super) fn read(file: &Path) -> Result<Profile> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    parse(&String::from_utf8_lossy(&text))
}

fn parse(text: &str) -> Result<Profile> {
    let mut profile = Profile::default();
    let (mut objects, mut names) = (Names::default(), Names::default());
    let (mut object, mut called_object, mut called) = (String::new(), None, String::new());
    let mut function = String::new();
    let mut inclusive = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            match key {
                "ob" => object = objects.whole(value)?,
                "fn" => function = named(&object, &names.whole(value)?),
                "cob" => called_object = Some(objects.whole(value)?),
                "cfn" => {
                    let object = called_object.take().unwrap_or_else(|| object.clone());
                    called = named(&object, &names.whole(value)?);
                }
                "calls" => {
                    let count = value.split(' ').next().and_then(|count| count.parse::<u64>().ok());
                    let function = profile.functions.entry(called.clone()).or_default();
                    function.calls += count.context("a count of calls")?;
                    // The next line has the cost of these calls, which the called functions have already.
                    inclusive = true;
                }
                _ => {}
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            if std::mem::take(&mut inclusive) {
                continue;
            }
            let cost = line.split(' ').nth(1).map_or(Ok(0), str::parse::<u64>).context("a cost")?;
            profile.total += cost;
            profile.functions.entry(function.clone()).or_default().own += cost;
        }
    }
    Ok(profile)
}

/// `(7) name` gives 7 a name, `(7)` refers to it.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn whole(&mut self, value: &str) -> Result<String> {
        let Some((id, name)) = value.split_once(')').filter(|_| value.starts_with('(')) else {
            return Ok(value.to_owned());
        };
        let name = name.trim();
        if name.is_empty() {
            return self.0.get(id).cloned().with_context(|| format!("nothing has the name {value}"));
        }
        self.0.insert(id.to_owned(), name.to_owned());
        Ok(name.to_owned())
    }
}

/// Without what differs between two builds of the same source: the hash at the end, and the depth of recursion.
fn named(object: &str, name: &str) -> String {
    if object == "???" {
        return WASM.to_owned();
    }
    let name = name.split_once('\'').map_or(name, |(name, _)| name);
    let hashed = name
        .rsplit_once("::h")
        .filter(|(_, hash)| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hashed.map_or(name, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_costs_and_calls_are_added_up_by_name() {
        let text = "positions: line\nevents: Ir\n\nob=(1) /weir\nfl=(1) a.rs\nfn=(1) a::h0123456789abcdef\n\
             10 5\n+2 7\ncob=(2) /libc\ncfi=(2) ???\ncfn=(2) write\ncalls=3 0 \n* 300\n\nfn=(3) b\n1 1\ncfn=(1)\n\
             calls=2 10\n1 24\n\nob=(2)\nfn=(2)\n0 300\n\nob=(9) ???\nfn=(8) 0x123\n0 4\n\nfn=(7) 0x456\n0 6\n";
        let profile = parse(text).unwrap();
        assert_eq!(profile.total, 5 + 7 + 1 + 300 + 10);
        assert_eq!(profile.functions["a"], Function { own: 12, calls: 2 });
        assert_eq!(profile.functions["write"], Function { own: 300, calls: 3 });
        assert_eq!(profile.functions[WASM].own, 10);
    }

    #[test]
    fn what_is_not_its_format_is_an_error() {
        assert!(parse("fn=(1)\n1 1\n").is_err());
        assert!(parse("fn=(1) a\n1 x\n").is_err());
    }
}
