//! Where the key is, and how it is kept from the origin.

use weir_sdk::{Field, Passage, Request, Setup};

use crate::config::Config;
use crate::refusal::Refusal;

pub(crate) struct Source {
    kind: Kind,
    field: Field,
    /// The header's or the parameter's.
    name: String,
    /// `:path`, asked for only to write the path anew without the key.
    path: Option<Field>,
    forward: bool,
}

enum Kind {
    /// The value after the scheme, or all of it.
    Header {
        scheme: Option<String>,
    },
    Query,
}

impl Source {
    pub(crate) fn new(config: &Config, setup: &mut Setup) -> Result<Self, String> {
        let from = &config.from;
        let (kind, name, shown) = match (&from.header, &from.query) {
            (Some(header), None) => {
                let name = header.to_ascii_lowercase();
                let bearer = (name == "authorization").then(|| "Bearer".to_owned());
                let scheme = from.scheme.clone().or(bearer).filter(|scheme| !scheme.is_empty());
                (Kind::Header { scheme }, name.clone(), name)
            }
            (None, Some(query)) if from.scheme.is_none() => (Kind::Query, query.clone(), ":query".to_owned()),
            (None, Some(_)) => return Err("`from`: `scheme` goes with `header` only".to_owned()),
            _ => return Err("`from` must have exactly one of `header`, `query`".to_owned()),
        };
        if name.is_empty() || name.starts_with([':', '@']) {
            return Err("`from`: that is no name".to_owned());
        }
        let rewrites = matches!(kind, Kind::Query) && !config.forward;
        Ok(Source {
            kind,
            field: setup.request(shown),
            name,
            path: rewrites.then(|| setup.request(":path")),
            forward: config.forward,
        })
    }

    /// Whether keys are read from this header.
    pub(crate) fn reads(&self, header: &str) -> bool {
        matches!(self.kind, Kind::Header { .. }) && self.name == header
    }

    /// The scheme callers are asked for (RFC 9110 11.1); there is none registered for a key in a place
    /// of its own.
    pub(crate) fn scheme(&self) -> &str {
        match &self.kind {
            Kind::Header { scheme: Some(scheme) } => scheme,
            _ => "ApiKey",
        }
    }

    /// There must be one key: with two, the origin might take the other.
    pub(crate) fn find<'a>(&self, request: &Request<'a>) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = request.get(self.field) else { return Ok(None) };
        let value = std::str::from_utf8(value).map_err(|_| Refusal::Unknown)?;
        match &self.kind {
            // Fields of one name arrive joined with ",".
            Kind::Header { scheme: None } if value.contains(',') => Err(Refusal::Several),
            Kind::Header { scheme: None } => Ok(Some(value.trim_matches([' ', '\t']))),
            Kind::Header { scheme: Some(scheme) } => credentials(value, scheme),
            Kind::Query => {
                let mut found = value.split('&').filter(|part| is_named(part, &self.name));
                match (found.next(), found.next()) {
                    (_, Some(_)) => Err(Refusal::Several),
                    (found, None) => Ok(found.map(|part| part.split_once('=').map_or("", |(_, key)| key))),
                }
            }
        }
    }

    /// Removes the key from what goes upstream, unless it is to be forwarded.
    pub(crate) fn conceal(&self, request: &Request<'_>, passage: Passage) -> Passage {
        if self.forward {
            return passage;
        }
        let Kind::Query = self.kind else { return passage.remove(self.name.clone()) };
        let mut path = self.path.and_then(|path| request.text(path)).unwrap_or("/").to_owned();
        let query = request.text(self.field).unwrap_or_default();
        let rest: Vec<&str> =
            query.split('&').filter(|part| !part.is_empty() && !is_named(part, &self.name)).collect();
        if !rest.is_empty() {
            path.push('?');
            path.push_str(&rest.join("&"));
        }
        passage.path(path)
    }
}

/// The credentials of this scheme (RFC 9110 11.4). Those of another are none of ours, unless ours hide
/// behind.
fn credentials<'a>(value: &'a str, scheme: &str) -> Result<Option<&'a str>, Refusal> {
    let ours = |text: &'a str| {
        let (name, rest) = text.trim_start_matches([' ', '\t']).split_at_checked(scheme.len())?;
        let is_ours = name.eq_ignore_ascii_case(scheme) && (rest.is_empty() || rest.starts_with([' ', '\t']));
        is_ours.then(|| rest.trim_matches([' ', '\t']))
    };
    let mut all = value.split(',').map(ours);
    let first = all.next().flatten();
    if all.any(|other| other.is_some()) { Err(Refusal::Several) } else { Ok(first) }
}

/// Whether the parameter has this name to whoever decodes it: `api%5Fkey` is `api_key`.
fn is_named(part: &str, name: &str) -> bool {
    let written = part.split_once('=').map_or(part, |(written, _)| written);
    let (mut bytes, mut expected) = (written.bytes(), name.bytes());
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' { hex(&mut bytes) } else { Some(byte) };
        if byte.is_none() || expected.next() != byte {
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
