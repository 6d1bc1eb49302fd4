//! What stands in `docs/filter-authors-guide.md` and in the README stands, word for word, in code that is
//! compiled and tested.

use std::path::Path;

const GUIDE: &str = include_str!("../../../../docs/filter-authors-guide.md");
const README: &str = include_str!("../../README.md");

/// Everything of this package that the compiler sees.
const SOURCES: [&str; 8] = [
    include_str!("../../src/lib.rs"),
    include_str!("../hello.rs"),
    include_str!("asking.rs"),
    include_str!("bodies.rs"),
    include_str!("connections.rs"),
    include_str!("counting.rs"),
    include_str!("data.rs"),
    include_str!("limits.rs"),
];

#[test]
fn every_rust_block_is_compiled() {
    let sources: Vec<Vec<&str>> = SOURCES.iter().map(|text| lines(text)).collect();
    let blocks = blocks(GUIDE, "rust");
    assert!(blocks.len() >= 8, "only {} blocks were found", blocks.len());
    for block in blocks {
        let wanted = lines(&block);
        let found = sources.iter().any(|lines| lines.windows(wanted.len()).any(|window| window == wanted));
        assert!(found, "this block of the guide stands in no source:\n{block}");
    }
}

#[test]
fn the_first_filter_is_shown_whole() {
    let whole = blocks(GUIDE, "rust").into_iter().any(|block| lines(&block) == lines(SOURCES[0]));
    assert!(whole, "src/lib.rs does not stand in the guide");
}

#[test]
fn every_configuration_is_accepted() {
    let mut configurations: Vec<_> = [GUIDE, README]
        .iter()
        .flat_map(|text| blocks(text, "toml"))
        .filter(|b| b.contains("wasm ="))
        .collect();
    configurations.push(include_str!("../../weir.toml").to_owned());
    assert!(configurations.len() >= 2);
    for text in configurations {
        let folder = tempfile::tempdir().unwrap();
        for file in files_named_in(&text) {
            let file = folder.path().join("below/enough").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let checked = weir_config::parse(&text, &folder.path().join("below/enough"), "the guide");
        assert!(checked.is_ok(), "{}\n{text}", checked.err().unwrap());
    }
}

/// The files that a configuration expects beside it.
fn files_named_in(text: &str) -> Vec<&str> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter(|word| Path::new(word).extension().is_some_and(|e| e == "wasm" || e == "txt")).collect()
}

/// Fenced blocks of this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    text.split(&*fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// Without indentation and empty lines, which differ between a fragment and its place.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}
