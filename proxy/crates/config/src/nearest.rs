//! "Did you mean": the known name nearest to one that is not known.

/// Characters of names that are compared; longer ones are not what a slip of the finger makes.
const NAME_CHARS_MAX: usize = 64;

/// A help text for an unknown name: the one that was likely meant, else all there are.
pub(crate) fn help<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>, none: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(unknown, &known) {
        return format!("did you mean `{near}`?");
    }
    match known.len() {
        0 => none.to_owned(),
        1..=16 => format!("known: {}", quoted(&known)),
        n => format!("known: {} and {} more", quoted(&known[..12]), n - 12),
    }
}

/// `a`, `b`, `c`
pub(crate) fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// None when nothing is near: at most a third of the longer name may differ.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, near) =
        known.iter().map(|name| (distance(unknown, name), *name)).min_by_key(|(distance, _)| *distance)?;
    let longer = unknown.chars().count().max(near.chars().count());
    (longer <= NAME_CHARS_MAX && distance * 3 <= longer.max(3)).then_some(near)
}

/// Edits (insert, remove, replace, swap neighbours) between two names: optimal string alignment.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> {
        text.chars()
            .take(NAME_CHARS_MAX + 1)
            .map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() })
            .collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        (before, last) = (last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let known = ["connections", "head", "head_timeout", "idle_timeout"];
        for (slip, meant) in [
            ("hed", "head"),
            ("conections", "connections"),
            ("idle-timeout", "idle_timeout"),
            ("haed", "head"),
        ] {
            assert_eq!(nearest(slip, &known), Some(meant), "{slip}");
        }
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
    }
}
