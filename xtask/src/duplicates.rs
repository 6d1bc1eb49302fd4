//! No dependency in two versions, but for those that others force on us; that list can only shrink.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use crate::cargo::{cargo, output};

/// Name, and who keeps the older version alive.
const FORCED: [(&str, &str); 3] = [
    ("hashbrown", "dashmap and wasmparser are behind wasmtime"),
    ("syn", "macros of tokio and thiserror differ in their age"),
    ("untrusted", "aws-lc-rs and rustls-webpki differ"),
];

/// Fails on a new duplicate, and on a listed one that is gone.
pub(crate) fn check() -> Result<()> {
    let tree = output(cargo(&["tree", "--workspace", "--duplicates", "--edges", "normal", "--depth", "0"]))?;
    let found = duplicated(&tree);
    let forced: BTreeSet<&str> = FORCED.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = found.difference(&forced).collect();
    ensure!(new.is_empty(), "new duplicate dependencies: {new:?} (see `cargo tree --duplicates`)");
    let gone: Vec<_> = forced.difference(&found).collect();
    ensure!(gone.is_empty(), "no longer duplicated, to be taken off the list in {}: {gone:?}", file!());
    Ok(())
}

/// `cargo tree` also lists a crate that is built twice in one version (for the host); that is no duplicate.
fn duplicated(tree: &str) -> BTreeSet<&str> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        if let Some((name, rest)) = line.split_once(" v") {
            versions.entry(name).or_default().insert(rest.split(' ').next().unwrap_or(rest));
        }
    }
    versions.into_iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_different_versions_are_duplicates() {
        let tree = "syn v2.0.1 (proc-macro)\n\nsyn v3.0.1\n\nserde v1.0.2\n\nserde v1.0.2 (*)\n";
        assert_eq!(duplicated(tree), BTreeSet::from(["syn"]));
    }
}
