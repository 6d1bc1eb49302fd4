//! Imports point down. The tables are read from ARCHITECTURE.md, so that they cannot say something else.

use std::collections::BTreeMap;

use crate::source::{files, table, workspace};

#[test]
fn modules_of_the_proxy_import_only_from_layers_below() {
    let layers = Layers::of(&table("layers"));
    let mut wrong = Vec::new();
    for file in files(&[".rs"]) {
        let Some(inside) = file.path.strip_prefix("proxy/src/") else { continue };
        if matches!(inside, "lib.rs" | "main.rs") || file.is_test() {
            continue;
        }
        let own = module(inside);
        let Some((from, from_layer)) = layers.find(&own) else {
            wrong.push(format!("{}: the module {own} is in no layer", file.path));
            continue;
        };
        for import in imports(&own, file.without_tests()) {
            let Some((to, to_layer)) = layers.find(&import) else {
                wrong.push(format!("{}: imports {import}, which is in no layer", file.path));
                continue;
            };
            if to != from && to_layer <= from_layer {
                wrong.push(format!("{}: {from} imports {import}, which is not below it", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong imports:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn crates_import_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for line in table("crates") {
        let (name, allowed) = line.split_once(':').expect("`crate: what it may import`");
        let path = workspace().join("proxy/crates").join(name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let section =
            manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or("");
        let ours =
            section.lines().filter_map(|line| line.strip_prefix("weir-")?.split(['.', ' ', '=']).next());
        for import in ours.filter(|import| !allowed.split_whitespace().any(|a| a == *import)) {
            wrong.push(format!("{name} imports {import}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_of_the_proxy_is_in_the_table() {
    let listed = table("crates");
    for entry in std::fs::read_dir(workspace().join("proxy/crates")).expect("proxy/crates") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(
            listed.iter().any(|line| line.starts_with(&format!("{name}:"))),
            "{name} is not in the table"
        );
    }
}

/// Module path to layer, 0 being the top.
struct Layers(BTreeMap<String, usize>);

impl Layers {
    /// A line per layer, top first, modules separated by commas.
    fn of(lines: &[String]) -> Self {
        let mut layers = BTreeMap::new();
        for (number, line) in lines.iter().enumerate() {
            for name in line.split(',').map(str::trim) {
                assert!(layers.insert(name.to_owned(), number).is_none(), "{name} is in two layers");
            }
        }
        assert!(layers.len() > 5, "the table of layers is gone");
        Self(layers)
    }

    /// The longest listed prefix of `path`, and its layer.
    fn find(&self, path: &str) -> Option<(&str, usize)> {
        let mut prefix = path;
        loop {
            if let Some((name, layer)) = self.0.get_key_value(prefix) {
                return Some((name, *layer));
            }
            prefix = prefix.rsplit_once("::")?.0;
        }
    }
}

/// `http/h1/parse.rs` is `http::h1::parse`, `http/mod.rs` is `http`.
fn module(path: &str) -> String {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.replace('/', "::")
}

/// Every path in the module `own` that begins with `crate::` or `super::`, in imports and elsewhere, from the
/// crate's root.
fn imports(own: &str, source: &str) -> Vec<String> {
    let code =
        source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    // `$crate::` in a macro is an import like another; `some_crate::` is not ours.
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    for (at, word) in code.match_indices("crate::").filter(|(at, _)| begins(*at)) {
        expand("", &code[at + word.len()..], &mut found);
    }
    for (at, _) in code.match_indices("super::").filter(|(at, _)| begins(*at)) {
        let (mut rest, mut base) = (&code[at..], own);
        while let Some(further) = rest.strip_prefix("super::") {
            base = base.rsplit_once("::").map_or("", |(parent, _)| parent);
            rest = further;
        }
        expand(base, rest, &mut found);
    }
    found
}

/// Reads a path or a brace group from the start of `text`; gives the rest.
fn expand<'a>(prefix: &str, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let before = rest.len();
            rest = expand(prefix, rest, found).trim_start().trim_start_matches(',');
            if rest.is_empty() || rest.len() == before {
                return rest;
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(deeper) = rest.strip_prefix("::")
        && !deeper.starts_with(['*', '<'])
    {
        return expand(&path, deeper, found);
    }
    if !name.is_empty() {
        found.push(path);
    }
    // `as other`, `::*`: up to the next item of the group.
    &rest[rest.find([',', '}', ';', '\n']).unwrap_or(rest.len())..]
}

#[test]
fn imports_are_found_however_they_are_written() {
    let source = "use crate::{clock::Nanos, message::{self, Fields as F}, tls::*};\n\
                  // use crate::not::this\n\
                  use crate::one::Two; fn f() { crate::three::four(); other_crate::five(); }\n\
                  use crate::{\n    six::Seven,\n    eight,\n};\n\
                  use super::{fields::Fields, head};\n\
                  use super::super::clock;";
    let found = imports("http::h1", source);
    let wanted = [
        "clock::Nanos",
        "message::self",
        "message::Fields",
        "tls",
        "one::Two",
        "three::four",
        "six::Seven",
        "eight",
        "http::fields::Fields",
        "http::head",
        "clock",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn the_longest_prefix_says_the_layer() {
    let lines = ["a", "b", "http", "c", "d", "http::h1, e"].map(str::to_owned);
    let layers = Layers::of(&lines);
    assert_eq!(layers.find("http::h1::parse"), Some(("http::h1", 5)));
    assert_eq!(layers.find("http::serve"), Some(("http", 2)));
    assert_eq!(layers.find("nowhere"), None);
    assert_eq!((module("http/h1/mod.rs"), module("clock.rs")), ("http::h1".into(), "clock".into()));
}
