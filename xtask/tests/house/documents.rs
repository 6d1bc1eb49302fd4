//! Documents point at what is there.

use crate::source::{files, workspace};

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut wrong = Vec::new();
    for file in files(&[".md"]) {
        let folder = workspace().join(&file.path).parent().expect("a folder").to_owned();
        for target in links(&file.text) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains(':') && !folder.join(path).exists() {
                wrong.push(format!("{}: {target}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nowhere:\n{}", wrong.join("\n"));
}

/// The targets of `[text](target)`, outside code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for prose in text.split("\n```").step_by(2) {
        for (at, _) in prose.match_indices("](") {
            let rest = &prose[at + 2..];
            found.extend(rest.find(')').map(|end| &rest[..end]));
        }
    }
    found
}

#[test]
fn links_are_found_outside_code() {
    let text = "[a](b.md) and [c](d.md#e)\n```\n[x](y)\n```\n[f](g)";
    assert_eq!(links(text), ["b.md", "d.md#e", "g"]);
}
