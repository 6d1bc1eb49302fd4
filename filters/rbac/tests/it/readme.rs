//! The README's examples are configurations that work.

use serde_json::Value;
use weir_filter_rbac::Rbac;
use weir_sdk::testing::Filter;

#[test]
fn every_example_of_the_readme_configures_the_filter() {
    let readme = include_str!("../../README.md");
    let examples: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 1, "the README has lost its examples");
    for example in examples {
        let document: Value = toml::from_str(example).unwrap_or_else(|error| panic!("{example}: {error}"));
        for (name, filter) in document["filters"].as_object().unwrap() {
            let built = Filter::<Rbac>::builder().name(name).build(filter["config"].clone());
            assert!(built.is_ok(), "{example}: {:?}", built.err());
        }
    }
}
