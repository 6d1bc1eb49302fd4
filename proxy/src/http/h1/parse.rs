//! Heads of requests and responses, read line by line as they arrive.

use super::error::{BadRequest, BadResponse, Fault};
use super::framing::{Claims, Framing, inner_coding};
use super::lines::{HeadLimits, Scan};
use crate::http::fields::Fields;
use crate::http::head::{METHOD_LONGEST, Method, RequestHead, ResponseHead, Scheme, Version};
use crate::http::known::Known;
use crate::http::syntax::{is_token_byte, legal_content, tokens};
use crate::http::target;

/// What a request head says besides what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Bytes that the head takes in the buffer; the body begins behind them.
    pub head_len: usize,
    /// How the body is delimited. Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client wants the connection to persist (RFC 9112 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends its content (RFC 9110 10.1.1).
    pub expect_continue: bool,
    /// Whether the client asks for another protocol than HTTP (RFC 9110 7.8).
    pub upgrade: bool,
}

/// What a response head says besides what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedResponse {
    /// Bytes that the head takes in the buffer; the body begins behind them.
    pub head_len: usize,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the connection can carry another request afterwards (RFC 9112 9.3).
    pub keep_alive: bool,
    /// Whether the origin switched protocols (101 with `upgrade`), or opened the tunnel that `CONNECT`
    /// asked for: what follows is not HTTP.
    pub tunnel: bool,
}

/// Empty lines that may stand before a request (RFC 9112 2.2).
const BLANK_LINES_MOST: usize = 2;

/// Reads the head of a request from a buffer that begins with it.
///
/// `Ok(None)` means that the head is not complete: call again when more bytes are there (see [`Scan`]).
/// Until the head is complete, `head` holds parts of it.
pub fn parse_request(
    buf: &[u8],
    scan: &mut Scan,
    limits: HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<Parsed>, BadRequest> {
    loop {
        let line = match scan.next_line(buf, limits) {
            Ok(Some(line)) => line,
            Ok(None) if scan.started || may_begin(scan.pending(buf)) => return Ok(None),
            Ok(None) => return Err(BadRequest::RequestLine),
            Err(Fault::HeadTooLarge) if !scan.started => return Err(BadRequest::RequestLineTooLong),
            Err(fault) => return Err(fault.into()),
        };
        match (scan.started, line.is_empty()) {
            (true, false) => scan.field(line, limits, &mut head.fields)?,
            (true, true) => break,
            (false, false) => {
                head.clear();
                request_line(line, head)?;
                scan.started = true;
            }
            (false, true) if scan.blank_lines == BLANK_LINES_MOST => return Err(BadRequest::RequestLine),
            (false, true) => scan.blank_lines += 1,
        }
    }
    finish_request(scan.finish(), head).map(Some)
}

/// Whether a request line may begin so: a TLS hello or other noise is refused at its first bytes.
fn may_begin(pending: &[u8]) -> bool {
    match pending {
        [] | [b'\r'] => true,
        [first, ..] => is_token_byte(*first),
    }
}

/// Method, target and version with one space between (RFC 9112 3).
fn request_line(line: &[u8], head: &mut RequestHead) -> Result<(), BadRequest> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BadRequest::RequestLine);
    };
    head.method = Method::parse(method).ok_or(match method.len() > METHOD_LONGEST {
        true => BadRequest::MethodTooLong,
        false => BadRequest::Method,
    })?;
    head.version = version_of(version).map_err(|unsupported| match unsupported {
        true => BadRequest::VersionUnsupported,
        false => BadRequest::Version,
    })?;
    request_target(target, head)
}

/// The version; the error says whether it is a version at all.
fn version_of(text: &[u8]) -> Result<Version, bool> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => {
            Err(major.is_ascii_digit() && minor.is_ascii_digit())
        }
        _ => Err(false),
    }
}

/// One of the four forms (RFC 9112 3.2), as the method allows.
fn request_target(target: &[u8], head: &mut RequestHead) -> Result<(), BadRequest> {
    let legal = match (&head.method, target) {
        (Method::Connect, _) => return authority_form(target, head),
        (Method::Options, b"*") | (_, [b'/', ..]) => head.set_path_and_query(target),
        _ => return absolute_form(target, head),
    };
    if legal { Ok(()) } else { Err(BadRequest::Target) }
}

/// `host:port`, both of them (RFC 9112 3.2.3).
fn authority_form(text: &[u8], head: &mut RequestHead) -> Result<(), BadRequest> {
    if text.is_empty() || !head.set_authority(text) {
        return Err(BadRequest::Authority);
    }
    match target::split_port(head.authority()) {
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port != 0) => Ok(()),
        _ => Err(BadRequest::Authority),
    }
}

/// `scheme://authority/path?query` (RFC 9112 3.2.2).
fn absolute_form(text: &[u8], head: &mut RequestHead) -> Result<(), BadRequest> {
    let Some(colon) = memchr::memchr(b':', text) else { return Err(BadRequest::Target) };
    let Some(rest) = text[colon + 1..].strip_prefix(b"//") else { return Err(BadRequest::Target) };
    head.scheme = Some(Scheme::parse(&text[..colon]).ok_or(BadRequest::Scheme)?);
    let authority_end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    if authority.is_empty() || !head.set_authority(authority) {
        return Err(BadRequest::Authority);
    }
    // Without a path, it is "/"; of the server itself for OPTIONS (RFC 9112 3.2.4).
    let legal = match path {
        b"" if head.method == Method::Options => head.set_path_and_query(b"*"),
        b"" => head.set_path_and_query(b"/"),
        [b'?', ..] => head.set_path_and_query(&[b"/", path].concat()),
        _ => head.set_path_and_query(path),
    };
    if legal { Ok(()) } else { Err(BadRequest::Target) }
}

/// Everything that only the whole head can tell.
fn finish_request(head_len: usize, head: &mut RequestHead) -> Result<Parsed, BadRequest> {
    let version = head.version;
    let claims = Claims::gather(&head.fields, version)?;
    if claims.lengths > 1 {
        return Err(BadRequest::LengthRepeated);
    }
    let framing = match claims.length {
        _ if claims.chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::None,
    };
    if head.method == Method::Connect && !framing.is_empty() {
        return Err(BadRequest::ConnectContent);
    }
    let expects = version == Version::Http11 && claims.expect.is_some();
    if expects && !claims.expect.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(BadRequest::Expectation);
    }
    let parsed = Parsed {
        head_len,
        framing,
        keep_alive: claims.persist(version),
        expect_continue: expects && !framing.is_empty(),
        upgrade: claims.upgrade && version == Version::Http11,
    };
    let inner_codings = claims.inner_codings;
    settle_host(head)?;
    // An expectation without content, or from HTTP/1.0, is to be ignored; sent on, it would count.
    if !parsed.expect_continue {
        head.fields.remove_known(Known::Expect);
    }
    if inner_codings {
        keep_codings(head);
    }
    Ok(parsed)
}

/// Notes the codings beneath `chunked`, for a writer to name again.
fn keep_codings(head: &mut RequestHead) {
    let fields = std::mem::take(&mut head.fields);
    let codings = fields.all_known(Known::TransferEncoding).flat_map(tokens);
    codings.filter_map(inner_coding).for_each(|coding| head.add_coding(coding));
    head.fields = fields;
}

/// Moves `host` from the fields to the authority (RFC 9112 3.2).
fn settle_host(head: &mut RequestHead) -> Result<(), BadRequest> {
    let mut fields = std::mem::take(&mut head.fields);
    let settled = adopt_host(&fields, head);
    fields.remove_known(Known::Host);
    head.fields = fields;
    settled
}

fn adopt_host(fields: &Fields, head: &mut RequestHead) -> Result<(), BadRequest> {
    let mut hosts = fields.all_known(Known::Host);
    let (host, further) = (hosts.next(), hosts.next());
    if further.is_some() {
        return Err(BadRequest::HostRepeated);
    }
    let Some(host) = host else {
        return if head.version == Version::Http10 { Ok(()) } else { Err(BadRequest::HostMissing) };
    };
    if head.authority().is_empty() {
        return if head.set_authority(host) { Ok(()) } else { Err(BadRequest::HostInvalid) };
    }
    let host = target::authority(host).ok_or(BadRequest::HostInvalid)?;
    if same_authority(host, head) { Ok(()) } else { Err(BadRequest::HostMismatch) }
}

/// Whether `host` names the authority of the target; the scheme's port may be left out of either.
fn same_authority(host: &str, head: &RequestHead) -> bool {
    let default_port = head.scheme.map_or("", |scheme| match scheme {
        Scheme::Http => "80",
        Scheme::Https => "443",
    });
    let parts = |authority| {
        let (host, port) = target::split_port(authority).unwrap_or((authority, ""));
        (host, if port == default_port { "" } else { port })
    };
    let ((host, port), (named_host, named_port)) = (parts(host), parts(head.authority()));
    host.eq_ignore_ascii_case(named_host) && port == named_port
}

/// Reads the head of a response to a request with the method `to`, from a buffer that begins with it.
/// For the rest see [`parse_request`].
pub fn parse_response(
    buf: &[u8],
    scan: &mut Scan,
    limits: HeadLimits,
    to: &Method,
    head: &mut ResponseHead,
) -> Result<Option<ParsedResponse>, BadResponse> {
    loop {
        let Some(line) = scan.next_line(buf, limits)? else { return Ok(None) };
        match (scan.started, line.is_empty()) {
            (true, false) => scan.field(line, limits, &mut head.fields)?,
            (true, true) => break,
            (false, _) => {
                head.clear();
                status_line(line, head)?;
                scan.started = true;
            }
        }
    }
    finish_response(scan.finish(), to, head).map(Some)
}

/// Version, status and reason (RFC 9112 4). The reason is checked and forgotten; the space before an
/// absent one may be missing, as many servers leave it out.
fn status_line(line: &[u8], head: &mut ResponseHead) -> Result<(), BadResponse> {
    let (version, rest) = line.split_at_checked(8).ok_or(BadResponse::StatusLine)?;
    head.version = version_of(version).map_err(|unsupported| match unsupported {
        true => BadResponse::Version,
        false => BadResponse::StatusLine,
    })?;
    let (status, reason) = match rest {
        [b' ', status @ ..] => status.split_at_checked(3).ok_or(BadResponse::Status)?,
        _ => return Err(BadResponse::StatusLine),
    };
    if !matches!(status, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return Err(BadResponse::Status);
    }
    head.status = status.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    match reason {
        [] => Ok(()),
        [b' ', reason @ ..] if legal_content(reason) => Ok(()),
        _ => Err(BadResponse::StatusLine),
    }
}

/// Decides on body and connection (RFC 9112 6.3).
fn finish_response(
    head_len: usize,
    to: &Method,
    head: &mut ResponseHead,
) -> Result<ParsedResponse, BadResponse> {
    let claims = Claims::gather(&head.fields, head.version)?;
    if claims.inner_codings {
        return Err(BadResponse::CodingUnknown);
    }
    let tunnel = match head.status {
        101 => claims.upgrade,
        200..300 => *to == Method::Connect,
        _ => false,
    };
    let without_length = tunnel || head.status < 200 || head.status == 204;
    let framing = match claims.length {
        _ if without_length || head.status == 304 || *to == Method::Head => Framing::None,
        _ if claims.chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    // Who announces a body where there can be none may well send it: trust ends with this message.
    let announces = without_length && (claims.chunked || claims.length.is_some_and(|length| length > 0));
    let keep_alive = claims.persist(head.version) && framing != Framing::UntilClose && !announces;
    if without_length {
        head.fields.remove_known(Known::ContentLength);
    }
    Ok(ParsedResponse { head_len, framing, keep_alive, tunnel })
}
