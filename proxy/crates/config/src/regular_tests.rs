//! Tests of [`super`]: never to take for regular what is not, and to read alike what is.

use super::*;
use crate::document::Document;
use proptest::prelude::*;

/// Either it is not regular, or both ways lead to the same tree.
fn agrees(text: &str) -> bool {
    let Some(regular) = read(text) else { return false };
    let any = Document::parse_any(text, "test").map_err(|report| report.to_string());
    // As text, since NaN is not equal to itself.
    assert_eq!(format!("{:?}", any.map(|document| document.root)), format!("Ok({regular:?})"), "{text}");
    true
}

#[test]
fn what_is_regular_is_read_alike() {
    for text in [
        "",
        "a = 1\nb = [1, [2.5, {}], \"\\u00e9\", 'x', \"\"\"y\n\"\"\", nan]\n",
        "[a]\nx = 0x1f\n[a.b]\n[a.c.d]\ny = 1979-05-27T07:32:00Z\n[e]\n",
        "[[a]]\nx = 1\n[a.b]\nz = inf\n[[a]]\n[a.b]\n[[a.c]]\n[[a.c]]\n",
        "a.b.c = 1\na.b.d = { e.f = 2, e.g = 3, h = [] }\n\"quoted key\" = true\n",
        "[a]\nb.c = 1\nb.d = 2\n[f]\n# a comment\n'g' = -7_000\n",
    ] {
        assert!(agrees(text), "{text}");
    }
}

#[test]
fn what_is_not_regular_is_left_to_the_other_way() {
    for text in [
        "a = 1\na = 2\n",
        "[a]\n[a]\n",
        "[a]\nb = 1\n[a.b]\n",
        "[a.b]\n[a]\n",
        "a = [{}]\n[a.b]\n",
        "a = [{}]\n[[a]]\n",
        "[[a]]\n[a]\n",
        "[a]\n[[a]]\n",
        "a = {}\na.b = 1\n",
        "a = { b = 1 }\n[a.c]\n",
        "a.b = 1\n[a]\n",
        "a.b = 1\n[a.c]\n",
        "a.b = 1\nc = 2\na.d = 3\n",
        "a = { b.c = 1, b.c = 2 }\n",
        "a = 99999999999999999999\n",
        "a = 2025-99-99\n",
        "a = \n",
        "[a\n",
        "a = \"\n",
        "a = 1 b = 2\n",
        "# \u{7}\n",
    ] {
        assert!(read(text).is_none(), "{text}");
    }
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep).is_none());
}

fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["a", "b", "c", "a.b", "b.a.c", "\"a\"", "c . a"]);
    let value = prop::sample::select(vec![
        "1",
        "'x'",
        "{}",
        "{ a = 1 }",
        "{ a.b = 1, a.c = {} }",
        "{ a = 1, a = 2 }",
        "[]",
        "[{ b = 1 }]",
        "[",
        "]",
        "1_",
    ]);
    prop_oneof![
        (key.clone(), value).prop_map(|(key, value)| format!("{key} = {value}")),
        key.clone().prop_map(|key| format!("[{key}]")),
        key.prop_map(|key| format!("[[{key}]]")),
        Just("}".to_owned()),
    ]
}

proptest! {
    #[test]
    fn any_lines_are_read_alike_or_left(lines in prop::collection::vec(line(), 0..12)) {
        agrees(&lines.join("\n"));
    }

    #[test]
    fn any_text_is_read_alike_or_left(text in "[a-c.=\\[\\]{}\"'#, \n0-9_\\\\]{0,40}") {
        agrees(&text);
    }
}
