//! The files of the workspace, as text.

use std::path::{Path, PathBuf};

/// A text file.
pub(crate) struct File {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// Rust source up to its unit tests; all of it if it has none.
    pub(crate) fn without_tests(&self) -> &str {
        let before = |text: &'static str| self.text.find(text).unwrap_or(self.text.len());
        &self.text[..before("#[cfg(test)]\nmod ").min(before("\nmod tests {"))]
    }

    /// Whether all of it is there for tests only.
    pub(crate) fn is_test(&self) -> bool {
        let path = &self.path;
        path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs")
            || path.contains("/testkit/")
    }
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// Every UTF-8 file whose name ends with one of `endings` (all, if none), outside build folders.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    let root = workspace();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the workspace") {
            let entry = entry.expect("an entry of a folder");
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let skipped =
                matches!(name.as_str(), ".git" | "target" | "node_modules" | "corpus" | "artifacts");
            if skipped || entry.file_type().expect("its type").is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending)) {
                let path_text =
                    path.strip_prefix(&root).expect("inside").to_string_lossy().replace('\\', "/");
                found.extend(std::fs::read_to_string(&path).ok().map(|text| File { path: path_text, text }));
            }
        }
    }
    assert!(!found.is_empty(), "no {endings:?} files in {}", root.display());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The lines of the fenced block of ARCHITECTURE.md that is marked with `mark`.
pub(crate) fn table(mark: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut lines = text.lines().skip_while(|line| *line != format!("```{mark}"));
    assert!(lines.next().is_some(), "ARCHITECTURE.md has no block marked {mark:?}");
    lines.take_while(|line| *line != "```").map(str::to_owned).collect()
}
