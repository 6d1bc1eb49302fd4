//! Where the token is, and how it is kept from the origin.
//!
//! There must be one token. A second one, in the same place or another, is refused rather than chosen
//! from: the origin might choose otherwise, and take for verified what was not (RFC 6750 2).

use serde::Deserialize;
use weir_sdk::{Field, Passage, Request, Setup};

use crate::refusal::Refusal;

/// One place as config writes it: exactly one of `header`, `cookie`, `query`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    header: Option<String>,
    scheme: Option<String>,
    cookie: Option<String>,
    query: Option<String>,
}

impl Place {
    /// RFC 6750 2.1.
    pub(crate) fn authorization() -> Self {
        Place { header: Some("authorization".to_owned()), scheme: None, cookie: None, query: None }
    }
}

pub(crate) struct Sources {
    sources: Vec<Source>,
    /// `:path`, asked for only to write the path anew without the token.
    path: Option<Field>,
    forward: bool,
}

struct Source {
    kind: Kind,
    field: Field,
    /// The header's, the cookie's, the parameter's.
    name: String,
}

enum Kind {
    /// The value after the scheme, or all of it.
    Header {
        scheme: Option<String>,
    },
    Cookie,
    Query,
}

/// A token, and the source it is from.
pub(crate) struct Found<'a> {
    pub(crate) token: &'a str,
    source: usize,
}

impl Sources {
    pub(crate) fn new(places: &[Place], forward: bool, setup: &mut Setup) -> Result<Self, String> {
        let sources = places.iter().map(|place| Source::new(place, setup)).collect::<Result<Vec<_>, _>>()?;
        let of_query = sources.iter().any(|source| matches!(source.kind, Kind::Query));
        let path = (of_query && !forward).then(|| setup.request(":path"));
        Ok(Sources { sources, path, forward })
    }

    /// Whether tokens are read from this header.
    pub(crate) fn reads(&self, header: &str) -> bool {
        self.sources.iter().any(|source| match source.kind {
            Kind::Header { .. } => source.name == header,
            Kind::Cookie => header == "cookie",
            Kind::Query => false,
        })
    }

    pub(crate) fn find<'a>(&self, request: &Request<'a>) -> Result<Option<Found<'a>>, Refusal> {
        let mut found = None;
        for (at, source) in self.sources.iter().enumerate() {
            let Some(value) = request.get(source.field) else { continue };
            let value = std::str::from_utf8(value).map_err(|_| Refusal::Malformed)?;
            let Some(token) = source.find(value)? else { continue };
            if found.replace(Found { token, source: at }).is_some() {
                return Err(Refusal::Several);
            }
        }
        Ok(found)
    }

    /// Removes the token from what goes upstream, unless it is to be forwarded.
    pub(crate) fn conceal(&self, request: &Request<'_>, found: &Found<'_>, passage: Passage) -> Passage {
        if self.forward {
            return passage;
        }
        let source = &self.sources[found.source];
        let value = request.text(source.field).unwrap_or_default();
        match source.kind {
            Kind::Header { .. } => passage.remove(source.name.clone()),
            Kind::Cookie => match without(cookies(value), &source.name, "; ") {
                rest if rest.is_empty() => passage.remove("cookie"),
                rest => passage.set("cookie", rest),
            },
            Kind::Query => {
                let mut path = self.path.and_then(|path| request.text(path)).unwrap_or("/").to_owned();
                let rest = without(parameters(value), &source.name, "&");
                if !rest.is_empty() {
                    path.push('?');
                    path.push_str(&rest);
                }
                passage.path(path)
            }
        }
    }
}

impl Source {
    fn new(place: &Place, setup: &mut Setup) -> Result<Self, String> {
        let (kind, name, shown) = match (&place.header, &place.cookie, &place.query) {
            (Some(header), None, None) => {
                let name = header.to_ascii_lowercase();
                let bearer = (name == "authorization").then(|| "Bearer".to_owned());
                let scheme = place.scheme.clone().or(bearer).filter(|scheme| !scheme.is_empty());
                (Kind::Header { scheme }, name.clone(), name)
            }
            (None, Some(cookie), None) => (Kind::Cookie, cookie.clone(), "cookie".to_owned()),
            (None, None, Some(query)) => (Kind::Query, query.clone(), ":query".to_owned()),
            _ => return Err("`token` must have exactly one of `header`, `cookie`, `query`".to_owned()),
        };
        if name.is_empty() || name.starts_with([':', '@']) {
            return Err("`token`: that is no name".to_owned());
        }
        if place.scheme.is_some() && !matches!(kind, Kind::Header { .. }) {
            return Err("`token`: `scheme` goes with `header` only".to_owned());
        }
        Ok(Source { kind, name, field: setup.request(shown) })
    }

    fn find<'a>(&self, value: &'a str) -> Result<Option<&'a str>, Refusal> {
        match &self.kind {
            Kind::Header { scheme: None } => Ok(Some(value.trim_matches(' '))),
            Kind::Header { scheme: Some(scheme) } => credentials(value, scheme),
            // Emptied is how a cookie is taken away from callers that keep it.
            Kind::Cookie => {
                only(cookies(value).filter(|(_, name, value)| *name == self.name && !value.is_empty()))
            }
            Kind::Query => only(parameters(value).filter(|(_, name, _)| is_named(name, &self.name))),
        }
    }
}

/// The credentials of this scheme (RFC 9110 11.4). Those of another are none of ours, unless ours hide
/// behind: several fields arrive joined with ",".
fn credentials<'a>(value: &'a str, scheme: &str) -> Result<Option<&'a str>, Refusal> {
    let ours = |text: &'a str| {
        let (name, rest) = text.split_at_checked(scheme.len())?;
        let is_ours = name.eq_ignore_ascii_case(scheme) && (rest.is_empty() || rest.starts_with([' ', '\t']));
        is_ours.then(|| rest.trim_matches([' ', '\t']))
    };
    let mut all = value.split(',').map(|text| ours(text.trim_matches([' ', '\t'])));
    let first = all.next().flatten();
    if all.any(|other| other.is_some()) {
        return Err(Refusal::Several);
    }
    Ok(first)
}

/// A part of the text: whole, its name, its value.
type Part<'a> = (&'a str, &'a str, &'a str);

/// RFC 6265 4.2.1.
fn cookies(value: &str) -> impl Iterator<Item = Part<'_>> {
    value.split(';').map(|part| named(part.trim_matches([' ', '\t'])))
}

fn parameters(query: &str) -> impl Iterator<Item = Part<'_>> {
    query.split('&').map(named)
}

fn named(part: &str) -> Part<'_> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    (part, name, value)
}

fn only<'a>(mut parts: impl Iterator<Item = Part<'a>>) -> Result<Option<&'a str>, Refusal> {
    let Some((_, _, value)) = parts.next() else { return Ok(None) };
    if parts.next().is_some() { Err(Refusal::Several) } else { Ok(Some(value)) }
}

/// Everything but the parts of this name, joined.
fn without<'a>(parts: impl Iterator<Item = Part<'a>>, name: &str, separator: &str) -> String {
    let kept: Vec<&str> = parts
        .filter(|(part, found, _)| !part.is_empty() && !is_named(found, name))
        .map(|(part, _, _)| part)
        .collect();
    kept.join(separator)
}

/// Whether it is this name to whoever decodes it: `access%5Ftoken` is `access_token`.
fn is_named(written: &str, name: &str) -> bool {
    let mut bytes = written.bytes();
    let mut expected = name.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => match hex(&mut bytes) {
                Some(byte) => byte,
                None => return false,
            },
            byte => byte,
        };
        if expected.next() != Some(byte) {
            return false;
        }
    }
    expected.next().is_none()
}

fn hex(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(bytes.next()?).to_digit(16);
    let value = digit()? * 16 + digit()?;
    u8::try_from(value).ok()
}
