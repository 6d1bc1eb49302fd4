//! Heads of messages, whichever version of HTTP carries them: what a codec fills in, a policy reads
//! and changes, and another codec writes. They know no bytes on the wire; the codecs do.

use super::fields::Fields;
use super::known::Known;
use super::syntax::legal_name;
use super::target;

/// The head of a request. Reused from request to request, so that a warm connection allocates nothing.
///
/// The authority stands in [`RequestHead::authority`] alone: codecs keep `host` and `:authority` out of
/// `fields`, so there cannot be two of them that disagree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// What is asked for.
    pub method: Method,
    /// The scheme, if the message named one. Only HTTP/2 and the absolute form of HTTP/1.1 do; for
    /// others the connection knows (RFC 9110 7.1).
    pub scheme: Option<Scheme>,
    authority: String,
    path: String,
    /// Where the query begins in `path`: at its "?".
    query_at: Option<usize>,
    /// Transfer codings beneath `chunked` that the content still has, as a list in lower case; see
    /// [`RequestHead::codings`].
    codings: String,
    /// The version the message came in.
    pub version: Version,
    /// All fields but `host`.
    pub fields: Fields,
}

impl RequestHead {
    /// An empty head: `GET` of nothing.
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Back to an empty head; the memory is kept.
    pub fn clear(&mut self) {
        self.method = Method::Get;
        self.scheme = None;
        self.authority.clear();
        self.path.clear();
        self.query_at = None;
        self.codings.clear();
        self.version = Version::Http11;
        self.fields.clear();
    }

    /// Back to an empty head; memory beyond `bytes` for each part is returned.
    pub fn release(&mut self, bytes: usize) {
        self.fields.release(bytes);
        self.clear();
        self.authority.shrink_to(bytes);
        self.path.shrink_to(bytes);
    }

    /// Host, and port if one was named, in lower case; empty if the message had none.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Sets the authority. False, and nothing changes, if it is neither empty nor `host` or `host:port`
    /// (RFC 3986 3.2; user information is refused, RFC 9110 4.2.4).
    pub fn set_authority(&mut self, authority: &[u8]) -> bool {
        let Some(legal) = target::authority(authority) else { return false };
        self.authority.clear();
        self.authority.push_str(legal);
        self.authority.make_ascii_lowercase();
        true
    }

    /// Path and query as sent; `*` for an `OPTIONS` of the server itself; empty for `CONNECT`.
    pub fn path_and_query(&self) -> &str {
        &self.path
    }

    /// The path, without query.
    pub fn path(&self) -> &str {
        &self.path[..self.query_at.unwrap_or(self.path.len())]
    }

    /// The query, without its "?".
    pub fn query(&self) -> Option<&str> {
        self.query_at.map(|at| &self.path[at + 1..])
    }

    /// Transfer codings that the content still has beneath `chunked`, such as `gzip`; nearly always
    /// empty (RFC 9112 7). Such a request can only go to an HTTP/1.1 origin - HTTP/2 has no transfer
    /// codings, so 501 answers it there - and only as the last one of its connection: an origin that
    /// does not understand the list could mistake the content for further requests.
    pub fn codings(&self) -> &str {
        &self.codings
    }

    /// The length of the content, if a field tells it.
    pub fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.fields.get_known(Known::ContentLength)?).ok()?.parse().ok()
    }

    /// Adds an inner transfer coding.
    pub(super) fn add_coding(&mut self, coding: &str) {
        if !self.codings.is_empty() {
            self.codings.push_str(", ");
        }
        self.codings.push_str(coding);
    }

    /// Sets path and query. False, and nothing changes, if it is not an absolute path with an optional
    /// query (see [`target`] for what may stand in it), `*`, or empty.
    pub fn set_path_and_query(&mut self, path: &[u8]) -> bool {
        let (legal, query_at) = match path {
            b"" => ("", None),
            b"*" => ("*", None),
            _ => match target::path_and_query(path) {
                Some(found) => found,
                None => return false,
            },
        };
        self.path.clear();
        self.path.push_str(legal);
        self.query_at = query_at;
        true
    }
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    /// The version the message came in.
    pub version: Version,
    /// All fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: u16) -> ResponseHead {
        ResponseHead { status, version: Version::Http11, fields: Fields::new() }
    }

    /// Back to a 200 without fields; the memory is kept.
    pub fn clear(&mut self) {
        self.status = 200;
        self.version = Version::Http11;
        self.fields.clear();
    }

    /// Whether another head follows for the same request (RFC 9110 15.2). 101 ends the exchange of
    /// heads, so it does not count.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

impl Default for ResponseHead {
    fn default() -> ResponseHead {
        ResponseHead::new(200)
    }
}

/// The version of HTTP that a message came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As `Via` names it: "1.1".
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2.0",
        }
    }

    /// With the protocol's name.
    pub const fn protocol(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }
}

/// A scheme that Weir serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port of an authority that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    /// The scheme of this name, in any case.
    pub fn parse(name: &[u8]) -> Option<Scheme> {
        [Scheme::Http, Scheme::Https].into_iter().find(|s| name.eq_ignore_ascii_case(s.as_str().as_bytes()))
    }
}

/// A method. Those of RFC 9110 9 and RFC 5789 are spelled out; others cost an allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the variants are their own spelling
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token. Methods are case-sensitive, so `get` is one of these.
    Other(OtherMethod),
}

/// The name of a method that HTTP itself does not define; a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OtherMethod(Box<str>);

/// The longest name of a method that is accepted.
pub const METHOD_LONGEST: usize = 64;

impl Method {
    /// The method of this name; none if it is not a token or longer than [`METHOD_LONGEST`].
    pub fn parse(name: &[u8]) -> Option<Method> {
        Some(match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ if name.len() > METHOD_LONGEST || !legal_name(name) => return None,
            _ => Method::Other(OtherMethod(std::str::from_utf8(name).ok()?.into())),
        })
    }

    /// The name as it is sent.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(OtherMethod(name)) => name,
        }
    }

    /// Whether nothing is meant to change by it (RFC 9110 9.2.1).
    pub const fn is_safe(&self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Whether sending it twice is meant to have the effect of sending it once (RFC 9110 9.2.2).
    pub const fn is_idempotent(&self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}
