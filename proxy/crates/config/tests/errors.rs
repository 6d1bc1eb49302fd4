//! What operators are told about broken configurations, word for word.
//!
//! Each `tests/errors/NAME.toml` is broken; `NAME.txt` beside it is the whole answer.

mod blessed;

use std::path::Path;

use proptest::prelude::*;
use weir_config::{Severity, parse};

#[test]
fn broken_configurations_are_answered_word_for_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        let report = parse(&text, Path::new("tests/files"), &name).expect_err(&name);
        blessed::compare(&path.with_extension("txt"), &format!("{report}\n"));
    }
    assert!(seen >= 20, "only {seen} configurations were found");
}

#[test]
fn problems_are_data_too() {
    let text = include_str!("errors/quantities.toml");
    let report = parse(text, Path::new("tests/files"), "weir.toml").unwrap_err();
    let head = report.problems().iter().find(|problem| problem.key == "listeners.web.limits.head").unwrap();
    assert_eq!((head.severity, head.line, head.column), (Severity::Error, 13, 8));
    assert_eq!(
        head.to_string(),
        "error in line 13, listeners.web.limits.head: `64KB` is not a size (units are B, KiB, MiB and GiB \
         (powers of 1024): \"64KiB\")"
    );
}

#[test]
fn a_secret_in_a_refused_address_is_not_repeated_in_one_line_problems() {
    let text = include_str!("errors/data_addresses.toml");
    let report = parse(text, Path::new("tests/files"), "weir.toml").unwrap_err();
    let lines: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    assert!(lines.iter().any(|line| line.contains("user and password")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("user:password")), "{lines:?}");
}

#[test]
fn thousands_of_problems_are_counted_and_not_printed() {
    let text = (0..5000).fold(String::new(), |text, n| text + &format!("key-{n} = 1\n"));
    let report = parse(&text, Path::new("tests/files"), "weir.toml").unwrap_err();
    let printed = report.to_string();
    assert_eq!(report.problems().len(), 5001);
    assert!(printed.ends_with("... and 4901 more like these\n\nweir.toml: 5001 errors"), "{printed}");
}

#[test]
fn nesting_without_end_is_an_error_and_not_a_full_stack() {
    let deep = 200_000;
    for text in [
        format!("x = {}", "[".repeat(deep)),
        format!("x = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("x = {}", "{a = ".repeat(deep)),
        format!("x{} = 1", ".a".repeat(deep)),
        format!("[x{}]", ".a".repeat(deep)),
        (0..2000).fold(String::new(), |text, n| text + &format!("[x{}]\n", ".a".repeat(n))),
    ] {
        let report = parse(&text, Path::new("tests/files"), "weir.toml").unwrap_err();
        assert!(!report.to_string().is_empty());
    }
}

proptest! {
    /// Proptest prints the seed and the smallest text of a failure.
    #[test]
    fn arbitrary_text_is_answered(text in ".{0,200}") {
        _ = parse(&text, Path::new("tests/files"), "weir.toml").map_err(|report| report.to_string());
    }

    #[test]
    fn a_damaged_configuration_is_answered(
        at in 0..EXAMPLE.len(),
        removed in 0usize..40,
        put in "[\\[\\]{}\"'=.,\\\\#\r\n a-z0-9_é-]{0,12}",
    ) {
        let text: String = EXAMPLE
            .char_indices()
            .filter(|(i, _)| *i < at || *i >= at + removed)
            .map(|(i, c)| if i == at + removed { format!("{put}{c}") } else { c.to_string() })
            .collect();
        if let Err(report) = parse(&text, Path::new("tests/files"), "weir.toml") {
            prop_assert!(report.problems().iter().any(|problem| problem.severity == Severity::Error));
            prop_assert!(report.to_string().ends_with(|c: char| c.is_ascii_lowercase()));
        }
    }
}

const EXAMPLE: &str = include_str!("../src/example.toml");
