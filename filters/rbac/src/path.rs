//! The path, as everybody must read it: what origins read differently is told apart.

use std::borrow::Cow;

/// A path of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Path<'a> {
    /// Everybody reads it as this: characters that need no percent-encoding have none (RFC 3986 6.2.2.2).
    Plain(Cow<'a, str>),
    /// An origin may read it as another one: dot segments, empty ones, parameters of segments (`;`), backslashes,
    /// zeros, broken or encoded separators.
    Ambiguous,
}

impl<'a> Path<'a> {
    pub(crate) fn of(path: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(path) else { return Path::Ambiguous };
        let plain = if text.contains('%') {
            match decoded(text) {
                Some(decoded) => Cow::Owned(decoded),
                None => return Path::Ambiguous,
            }
        } else {
            Cow::Borrowed(text)
        };
        // `*` is the target of OPTIONS about the whole server.
        if !plain.starts_with('/') && plain != "*" {
            return Path::Ambiguous;
        }
        let mut segments = plain.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let is_empty = segment.is_empty() && segments.peek().is_some();
            if is_empty || segment == "." || segment == ".." || segment.contains([';', '\\', '\0']) {
                return Path::Ambiguous;
            }
        }
        Path::Plain(plain)
    }
}

/// Without encodings of unreserved characters; others stay. None: one that separates, or that is none.
fn decoded(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        match byte {
            b'/' | b'\\' | b';' | b'%' | 0 => return None,
            unreserved if unreserved.is_ascii_alphanumeric() || b"-._~".contains(&unreserved) => {
                out.push(char::from(unreserved));
            }
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    Some(out)
}

/// Whether `path` is `prefix` or lies below it.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_everybody_reads_or_ambiguous() {
        for (written, read) in [
            ("/", Some("/")),
            ("/users/7", Some("/users/7")),
            ("/users/", Some("/users/")),
            ("/%75sers/%7e", Some("/users/~")),
            ("/a%20b/%c3%a4", Some("/a%20b/%C3%A4")),
            ("*", Some("*")),
            ("", None),
            ("users", None),
            ("/a//b", None),
            ("//a", None),
            ("/a/../b", None),
            ("/a/./b", None),
            ("/a/..", None),
            ("/a/%2e%2E/b", None),
            ("/a%2fb", None),
            ("/a%5Cb", None),
            ("/a\\b", None),
            ("/a;v=1/b", None),
            ("/a%3bv", None),
            ("/a%00", None),
            ("/a%252e", None),
            ("/a%", None),
            ("/a%2", None),
            ("/a%+1", None),
            ("/a%zz", None),
            ("/a%é", None),
        ] {
            let expected = read.map_or(Path::Ambiguous, |read| Path::Plain(read.into()));
            assert_eq!(Path::of(written.as_bytes()), expected, "{written}");
        }
        assert_eq!(Path::of(b"/\xff"), Path::Ambiguous);
    }

    #[test]
    fn below_is_by_segments() {
        for (path, prefix, below) in [
            ("/users", "/users", true),
            ("/users/7", "/users", true),
            ("/usersx", "/users", false),
            ("/user", "/users", false),
            ("/anything", "", true),
        ] {
            assert_eq!(is_below(path, prefix), below, "{path} {prefix}");
        }
    }
}
