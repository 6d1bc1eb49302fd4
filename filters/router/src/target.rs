//! The path an exchange is sent with, and the place a caller is sent to.

use crate::config::RedirectConfig;
use crate::edits;
use crate::values::Values;

/// The part of the path that a route matched: what a rewrite replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matched {
    /// A prefix of so many bytes.
    Prefix(usize),
    Whole,
}

/// Puts another prefix in the place of the one matched.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// Begins with "/", does not end with one; "" for the root.
    prefix: String,
    matched: Matched,
}

impl Rewrite {
    pub(crate) fn new(prefix: &str, matched: Option<Matched>) -> Result<Self, String> {
        let matched = matched.ok_or("`path_prefix` needs a `path` or `path_prefix` that matched")?;
        require_path(prefix)?;
        // A whole path is replaced as written; in front of a rest the "/" is the rest's.
        let prefix = if matched == Matched::Whole { prefix } else { prefix.trim_end_matches('/') };
        Ok(Rewrite { prefix: prefix.to_owned(), matched })
    }

    fn path(&self, path: &str) -> String {
        let rest = match self.matched {
            Matched::Prefix(len) => path.get(len..).unwrap_or_default(),
            Matched::Whole => "",
        };
        if self.prefix.is_empty() && rest.is_empty() {
            return "/".to_owned();
        }
        [&self.prefix, rest].concat()
    }

    /// Path and query to send upstream.
    pub(crate) fn apply(&self, values: &Values<'_>) -> Vec<u8> {
        with_query(self.path(values.path), values.query)
    }
}

/// Where a redirect leads.
#[derive(Debug)]
pub(crate) struct Location {
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    path: Option<String>,
    rewrite: Option<Rewrite>,
    strip_query: bool,
}

impl Location {
    pub(crate) fn new(config: &RedirectConfig, matched: Option<Matched>) -> Result<Self, String> {
        if !matches!(config.status, 301 | 302 | 303 | 307 | 308) {
            return Err("`status` must be 301, 302, 303, 307 or 308".to_owned());
        }
        if config.scheme.as_ref().is_some_and(|scheme| scheme != "http" && scheme != "https") {
            return Err("`scheme` must be \"http\" or \"https\"".to_owned());
        }
        if config.path.is_some() && config.path_prefix.is_some() {
            return Err("`path` or `path_prefix`, not both".to_owned());
        }
        if let Some(path) = &config.path {
            require_path(path)?;
        }
        if let Some(host) = &config.host {
            edits::value_of(host)?;
        }
        let rewrite = config.path_prefix.as_ref().map(|prefix| Rewrite::new(prefix, matched)).transpose()?;
        Ok(Location {
            scheme: config.scheme.clone(),
            host: config.host.clone(),
            port: config.port,
            path: config.path.clone(),
            rewrite,
            strip_query: config.strip_query,
        })
    }

    /// Always absolute: a relative one that begins with "//", which a caller can provoke, would lead
    /// to another host (RFC 3986 4.2).
    pub(crate) fn of(&self, values: &Values<'_>) -> Vec<u8> {
        let scheme = self.scheme.as_deref().unwrap_or(values.scheme());
        let path = match (&self.path, &self.rewrite) {
            (Some(path), _) => path.clone(),
            (None, Some(rewrite)) => rewrite.path(values.path),
            (None, None) => values.path.to_owned(),
        };
        let target = with_query(path, values.query.filter(|_| !self.strip_query));
        [scheme.as_bytes(), b"://", self.authority(values).as_bytes(), &target].concat()
    }

    /// The caller's port stays only with the caller's host and scheme.
    fn authority(&self, values: &Values<'_>) -> String {
        let received = values.authority;
        let bare = match received.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => received,
        };
        let moved = self.scheme.as_deref().is_some_and(|scheme| scheme != values.scheme());
        match (&self.host, self.port) {
            (host, Some(port)) => format!("{}:{port}", host.as_deref().unwrap_or(bare)),
            (Some(host), None) => host.clone(),
            (None, None) if moved => bare.to_owned(),
            (None, None) => received.to_owned(),
        }
    }
}

/// A path that can be sent: begins with "/", nothing that would end or split it.
pub(crate) fn require_path(path: &str) -> Result<(), String> {
    let legal = path.starts_with('/') && path.bytes().all(|byte| byte > b' ' && byte < 0x7f && byte != b'#');
    if legal { Ok(()) } else { Err(format!("{path:?} is no path (it begins with \"/\" and is encoded)")) }
}

fn with_query(path: String, query: Option<&[u8]>) -> Vec<u8> {
    let mut target = path.into_bytes();
    if let Some(query) = query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    target
}
