//! The values of a request that routes look at: which of them the proxy is asked to show, and how one
//! is found when a condition or an action needs it.
//!
//! Only what some route needs is asked for: each value shown costs the proxy a copy, and decisions are
//! remembered by the values shown.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::FixedState;
use weir_sdk::{Cluster, Field, Request, Setup};

/// Where a condition or a hash key looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Method,
    Identity,
    Address,
    /// A field's position in [`Shown::headers`].
    Header(usize),
    /// The first cookie of this name.
    Cookie(Rc<str>),
    /// The first parameter of this name, decoded.
    Query(Rc<str>),
}

/// The handles of what was asked for.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    method: Option<Field>,
    scheme: Option<Field>,
    authority: Option<Field>,
    path: Option<Field>,
    query: Option<Field>,
    identity: Option<Field>,
    address: Option<Field>,
    cookie: Option<Field>,
    headers: Vec<Field>,
    /// Those named so far, since thousands of routes name them again and again.
    clusters: HashMap<Box<str>, Cluster, FixedState>,
}

impl Shown {
    /// Names a cluster to send to.
    pub(crate) fn ask_cluster(&mut self, setup: &mut Setup, name: &str) -> Cluster {
        if let Some(known) = self.clusters.get(name) {
            return *known;
        }
        let cluster = setup.cluster(name.to_owned());
        self.clusters.insert(name.into(), cluster);
        cluster
    }

    /// Called once, when all is asked for.
    pub(crate) fn finish(&mut self) {
        self.clusters = HashMap::default();
    }

    pub(crate) fn ask_host(&mut self, setup: &mut Setup) {
        self.authority = Some(setup.request(":authority"));
    }

    pub(crate) fn ask_path(&mut self, setup: &mut Setup) {
        self.path = Some(setup.request(":path"));
    }

    /// Everything that a new location or path is made from.
    pub(crate) fn ask_target(&mut self, setup: &mut Setup) {
        self.ask_path(setup);
        self.query = Some(setup.request(":query"));
    }

    pub(crate) fn ask_location(&mut self, setup: &mut Setup) {
        self.ask_target(setup);
        self.ask_host(setup);
        self.scheme = Some(setup.request(":scheme"));
    }

    pub(crate) fn ask_method(&mut self, setup: &mut Setup) -> Source {
        self.method = Some(setup.request(":method"));
        Source::Method
    }

    pub(crate) fn ask_identity(&mut self, setup: &mut Setup) -> Source {
        self.identity = Some(setup.request("@peer.identity"));
        Source::Identity
    }

    pub(crate) fn ask_address(&mut self, setup: &mut Setup) -> Source {
        self.address = Some(setup.request("@peer.address"));
        Source::Address
    }

    /// `name` is in lower case.
    pub(crate) fn ask_header(&mut self, setup: &mut Setup, name: &str) -> Source {
        let field = setup.request(name.to_owned());
        let known = self.headers.iter().position(|known| *known == field);
        Source::Header(known.unwrap_or_else(|| {
            self.headers.push(field);
            self.headers.len() - 1
        }))
    }

    pub(crate) fn ask_cookie(&mut self, setup: &mut Setup, name: &str) -> Source {
        self.cookie = Some(setup.request("cookie"));
        Source::Cookie(name.into())
    }

    pub(crate) fn ask_query(&mut self, setup: &mut Setup, name: &str) -> Source {
        self.query = Some(setup.request(":query"));
        Source::Query(name.into())
    }

    /// The request as the routes see it.
    pub(crate) fn of<'a>(&'a self, request: &'a Request<'a>) -> Values<'a> {
        let get = |field: Option<Field>| field.and_then(|field| request.get(field));
        let text = |field: Option<Field>| field.and_then(|field| request.text(field)).unwrap_or_default();
        Values {
            request,
            shown: self,
            authority: text(self.authority),
            path: text(self.path),
            query: get(self.query),
        }
    }
}

/// One request, as far as it was asked for.
pub(crate) struct Values<'a> {
    request: &'a Request<'a>,
    shown: &'a Shown,
    pub(crate) authority: &'a str,
    /// Empty if it is not UTF-8: then only routes without a path match.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    pub(crate) fn scheme(&self) -> &'a str {
        self.shown.scheme.and_then(|field| self.request.text(field)).unwrap_or("http")
    }

    pub(crate) fn get(&self, source: &Source) -> Option<Cow<'a, [u8]>> {
        let shown = |field: Option<Field>| self.request.get(field?).map(Cow::Borrowed);
        match source {
            Source::Method => shown(self.shown.method),
            Source::Identity => shown(self.shown.identity),
            Source::Address => shown(self.shown.address),
            Source::Header(at) => shown(self.shown.headers.get(*at).copied()),
            Source::Cookie(name) => cookie(self.request.get(self.shown.cookie?)?, name).map(Cow::Borrowed),
            Source::Query(name) => parameter(self.query?, name),
        }
    }
}

/// The first cookie of this name (RFC 6265 5.4).
fn cookie<'a>(cookies: &'a [u8], name: &str) -> Option<&'a [u8]> {
    cookies
        .split(|byte| *byte == b';')
        .filter_map(|pair| split_once(pair.trim_ascii(), b'='))
        .find(|(known, _)| *known == name.as_bytes())
        .map(|(_, value)| value)
}

/// The first parameter of this name, as forms write them (WHATWG URL, application/x-www-form-urlencoded).
fn parameter<'a>(query: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    query
        .split(|byte| *byte == b'&')
        .map(|pair| split_once(pair, b'=').unwrap_or((pair, b"")))
        .find(|(known, _)| *decoded(known) == *name.as_bytes())
        .map(|(_, value)| decoded(value))
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// "+" is a space, "%xx" a byte; what is neither stays as it is.
fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'+', _) => plain.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                plain.push(digit(*high) << 4 | digit(*low));
                rest = after;
                continue;
            }
            (byte, _) => plain.push(*byte),
        }
        rest = after;
    }
    Cow::Owned(plain)
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_first_counts() {
        let query = b"a=1&b=two+words%21&a=2&flag&%63=x&bad=%zz%4";
        let get = |name| parameter(query, name).map(|value| String::from_utf8(value.into_owned()).unwrap());
        assert_eq!(get("a").as_deref(), Some("1"));
        assert_eq!(get("b").as_deref(), Some("two words!"));
        assert_eq!(get("flag").as_deref(), Some(""));
        assert_eq!(get("c").as_deref(), Some("x"));
        assert_eq!(get("bad").as_deref(), Some("%zz%4"));
        assert_eq!(get("d"), None);
    }

    #[test]
    fn cookies_are_found_by_name() {
        assert_eq!(cookie(b"a=1; session=x=y;b", "session"), Some(&b"x=y"[..]));
        assert_eq!(cookie(b"asession=1", "session"), None);
        assert_eq!(cookie(b"", "session"), None);
    }
}
