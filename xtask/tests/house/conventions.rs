//! How files look. Each list of exceptions can only shrink: an entry that is no longer needed fails.

use crate::source::{files, workspace};

const MOST_LINES: usize = 400;

/// Longer than [`MOST_LINES`], each with its reason.
const LONG: [(&str, &str); 0] = [];

#[test]
fn no_file_is_longer_than_400_lines() {
    let mut wrong = Vec::new();
    for file in files(&[".rs"]) {
        let lines = file.text.lines().count();
        let excepted = LONG.iter().any(|(path, _)| *path == file.path);
        match (lines > MOST_LINES, excepted) {
            (true, false) => wrong.push(format!("{} has {lines} lines", file.path)),
            (false, true) => wrong.push(format!("{} is short now: take it off the list", file.path)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is_responsible_for() {
    let silent = |text: &str| !text.starts_with("//! ") && !text.starts_with("#![doc = ");
    let wrong: Vec<_> =
        files(&[".rs"]).into_iter().filter(|file| silent(&file.text)).map(|file| file.path).collect();
    assert!(wrong.is_empty(), "no `//!` at the top:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut wrong = Vec::new();
    for file in files(&[".rs"]).iter().filter(|file| !file.is_test()) {
        for (number, line) in file.without_tests().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(".unwrap()") {
                wrong.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_module_is_called_by_what_it_is_not() {
    let vague = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];
    let named = |path: &str| path.split('/').any(|part| vague.contains(&part.trim_end_matches(".rs")));
    let wrong: Vec<_> =
        files(&[".rs"]).into_iter().map(|file| file.path).filter(|path| named(path)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_test_is_ignored() {
    let mark = concat!("#[", "ignore");
    let wrong: Vec<_> =
        files(&[".rs"]).into_iter().filter(|file| file.text.contains(mark)).map(|f| f.path).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_filter_has_a_readme_and_tests() {
    for entry in std::fs::read_dir(workspace().join("filters")).expect("filters") {
        let folder = entry.expect("an entry").path();
        if !folder.is_dir() {
            continue;
        }
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        assert!(readme.contains("config"), "{} has no README.md that tells its config", folder.display());
        let name = format!("filters/{}/", folder.file_name().expect("a name").to_string_lossy());
        let tested =
            files(&[".rs"]).iter().any(|file| file.path.starts_with(&name) && file.text.contains("#[test]"));
        assert!(tested, "{} has no tests", folder.display());
    }
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let places =
        [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/tmp/", "wt/")];
    let mut wrong = Vec::new();
    for file in files(&[]) {
        for (number, line) in file.text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                wrong.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
