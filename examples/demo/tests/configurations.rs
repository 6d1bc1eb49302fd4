//! The configurations that documents and the demo show are checked by Weir's own check.

use std::path::Path;

fn check(text: &str, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("jwks.json"), "{}").expect("a file");
    if let Err(report) = weir_config::parse(text, folder.path(), name) {
        panic!("{report}");
    }
}

#[test]
fn the_demo_is_configured_correctly() {
    let text = include_str!("../weir.toml")
        .replace("\"V1\"", "\"127.0.0.1:1\"")
        .replace("\"V2\"", "\"127.0.0.1:2\"");
    check(&text, "examples/demo/weir.toml");
}

#[test]
fn the_configuration_in_the_readme_is_correct() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let text =
        readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    check(text, "README.md");
}
