//! SPIFFE IDs, and the patterns by which config says which of them are meant.
//!
//! They stand apart from the values of the file because the proxy reads IDs from certificates too, and
//! `weir certs` writes them there: what one of them takes for an ID, the others must.

use std::{fmt, sync::Arc};

/// Bytes of the longest ID (SPIFFE-ID 2.3).
const LONGEST: usize = 2048;
/// Bytes of the longest trust domain (SPIFFE-ID 2.1).
const LONGEST_DOMAIN: usize = 255;
const SCHEME: &str = "spiffe://";

/// The name of a workload: `spiffe://trust-domain/path` (SPIFFE-ID 2). Always with a path: an ID without one
/// names the trust domain itself, which no workload is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Where the trust domain ends.
    domain: usize,
}

impl SpiffeId {
    /// Reads an ID.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (domain, path) = split(text)?;
        if path.is_empty() {
            return Err("it names a trust domain and no workload: a path is missing");
        }
        path.split('/').try_for_each(segment)?;
        Ok(Self { text: text.into(), domain: SCHEME.len() + domain.len() })
    }

    /// Between the scheme and the path.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.domain]
    }

    /// As in a certificate.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without the slash before it.
    fn path(&self) -> &str {
        &self.text[self.domain + 1..]
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which IDs are meant: an ID in which `*` stands for any one segment of the path, and `**` at its end for one
/// or more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffePattern {
    text: Arc<str>,
    domain: usize,
}

impl SpiffePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (domain, path) = split(text)?;
        if path.is_empty() {
            return Err("a path is missing; every workload of a trust domain is spiffe://trust-domain/**");
        }
        let mut segments = path.split('/').peekable();
        while let Some(one) = segments.next() {
            match one {
                "*" => {}
                "**" if segments.peek().is_none() => {}
                "**" => return Err("`**` is for the end of a pattern"),
                one if one.contains('*') => return Err("`*` stands for a whole segment of the path"),
                one => segment(one)?,
            }
        }
        Ok(Self { text: text.into(), domain: SCHEME.len() + domain.len() })
    }

    /// Every workload of a trust domain.
    pub fn whole_domain(id: &SpiffeId) -> Self {
        Self { text: format!("{SCHEME}{}/**", id.trust_domain()).into(), domain: id.domain }
    }

    /// Whether the ID is meant.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        if self.text[..self.domain] != id.text[..id.domain] {
            return false;
        }
        let mut segments = id.path().split('/');
        for wanted in self.text[self.domain + 1..].split('/') {
            match (wanted, segments.next()) {
                (_, None) => return false,
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Trust domain and path, the latter without its first slash.
fn split(text: &str) -> Result<(&str, &str), &'static str> {
    if text.len() > LONGEST {
        return Err("it is longer than 2048 bytes");
    }
    let rest = text.strip_prefix(SCHEME).ok_or("it does not begin with `spiffe://`")?;
    let (domain, path) = match rest.split_once('/') {
        Some((_, "")) => return Err("it ends with a slash"),
        Some(parts) => parts,
        None => (rest, ""),
    };
    trust_domain(domain)?;
    Ok((domain, path))
}

/// Whether this can be the name of a trust domain.
///
/// # Errors
/// Why not, in words.
pub fn trust_domain(text: &str) -> Result<(), &'static str> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if text.is_empty() {
        return Err("the trust domain is missing");
    }
    if text.len() > LONGEST_DOMAIN {
        return Err("the trust domain is longer than 255 bytes");
    }
    if !text.bytes().all(legal) {
        return Err("a trust domain is made of a-z, 0-9, `.`, `-` and `_`");
    }
    Ok(())
}

fn segment(text: &str) -> Result<(), &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    match text {
        "" => Err("a segment of its path is empty"),
        "." | ".." => Err("`.` and `..` are no segments of a path"),
        text if text.bytes().all(legal) => Ok(()),
        _ => Err("a path is made of a-z, A-Z, 0-9, `.`, `-` and `_`, with slashes between"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_the_specification_says() {
        let id = SpiffeId::parse("spiffe://shop.example/ns/web/sa/Cart_1").unwrap();
        assert_eq!((id.trust_domain(), id.path()), ("shop.example", "ns/web/sa/Cart_1"));
        for (text, reason) in [
            ("https://shop.example/a", "begin with"),
            ("SPIFFE://shop.example/a", "begin with"),
            ("spiffe:///a", "domain is missing"),
            ("spiffe://shop.example", "no workload"),
            ("spiffe://shop.example/", "ends with a slash"),
            ("spiffe://shop.example/a/", "is empty"),
            ("spiffe://shop.example/a//b", "is empty"),
            ("spiffe://shop.example/a/../b", "`..`"),
            ("spiffe://shop.example/a%2fb", "made of"),
            ("spiffe://shop.example/a?b", "made of"),
            ("spiffe://Shop.example/a", "trust domain is made of"),
            ("spiffe://user@shop.example/a", "trust domain is made of"),
            ("spiffe://shop.example:80/a", "trust domain is made of"),
        ] {
            let told = SpiffeId::parse(text).unwrap_err();
            assert!(told.contains(reason), "{text}: {told}");
        }
        let domain = "d".repeat(255);
        assert!(SpiffeId::parse(&format!("spiffe://{domain}/a")).is_ok());
        assert!(SpiffeId::parse(&format!("spiffe://{domain}d/a")).is_err());
        assert!(SpiffeId::parse(&format!("spiffe://a/{}", "p".repeat(2048))).is_err());
    }

    #[test]
    fn patterns_match_whole_segments() {
        for (pattern, id, matches) in [
            ("spiffe://td/sa/web", "spiffe://td/sa/web", true),
            ("spiffe://td/sa/web", "spiffe://td/sa/web2", false),
            ("spiffe://td/sa/web", "spiffe://td/sa", false),
            ("spiffe://td/sa", "spiffe://td/sa/web", false),
            ("spiffe://td/sa/web", "spiffe://other/sa/web", false),
            ("spiffe://td/ns/*/sa/web", "spiffe://td/ns/shop/sa/web", true),
            ("spiffe://td/ns/*/sa/web", "spiffe://td/ns/a/b/sa/web", false),
            ("spiffe://td/ns/*", "spiffe://td/ns/a/b", false),
            ("spiffe://td/ns/**", "spiffe://td/ns/a/b", true),
            ("spiffe://td/ns/**", "spiffe://td/ns", false),
            ("spiffe://td/**", "spiffe://td/a", true),
            ("spiffe://td/**", "spiffe://td.evil/a", false),
        ] {
            let (one, other) = (SpiffePattern::parse(pattern).unwrap(), SpiffeId::parse(id).unwrap());
            assert_eq!(one.matches(&other), matches, "{pattern} {id}");
        }
        let id = SpiffeId::parse("spiffe://td/a/b").unwrap();
        assert_eq!(SpiffePattern::whole_domain(&id), SpiffePattern::parse("spiffe://td/**").unwrap());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["spiffe://td", "spiffe://td/w*", "spiffe://td/**/a", "spiffe://*/a", "spiffe://td/a//*"]
        {
            assert!(SpiffePattern::parse(text).is_err(), "{text}");
        }
    }
}
