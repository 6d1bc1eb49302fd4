//! The endpoint's side of an attempt: sending the request's head, reading the response's.

use std::{
    borrow::Cow,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{
    fields_h2::{map_from_fields, push_map},
    h1::{BadResponse, Connection, Framing, HeadLimits, Scan, parse_response, write_request},
    incoming::Incoming,
    outgoing::{H1Outgoing, H2Outgoing, Outgoing},
    reply::{Length, NEVER_IN_H2},
};
use crate::{
    cluster::H2Connection,
    error::{Error, Failure},
    message::{Method, RequestHead, ResponseHead, Scheme, Version},
    stream::{Buffer, BufferPool, Io},
};

/// A request that is about to go out, and where its response will come from.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    /// Takes the request's body.
    pub sink: Outgoing<'a>,
    /// Yields the response.
    pub source: HeadSource<'a>,
}

/// Where a response's head comes from.
#[derive(Debug)]
pub(super) enum HeadSource<'a> {
    /// An HTTP/1.1 connection.
    H1(H1Source<'a>),
    /// An HTTP/2 stream.
    H2(h2::client::ResponseFuture),
}

/// See [`HeadSource::H1`].
#[derive(Debug)]
pub(super) struct H1Source<'a> {
    io: &'a Io,
    buffer: &'a mut Buffer,
    /// Where the buffer's memory comes from, once there is something to read.
    buffers: &'a BufferPool,
    scan: Scan,
    limits: HeadLimits,
    method: Method,
    /// Something was heard on the connection since the request was sent.
    heard: bool,
    /// The request asks for another protocol.
    upgrade: bool,
}

/// What a response's head says about its body and its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    /// How the body is delimited, for HTTP/1.1.
    pub framing: Framing,
    /// How long the body is.
    pub length: Length,
    /// The connection can carry another request afterwards.
    pub keep_alive: bool,
}

/// Why there is no response's head.
#[derive(Debug)]
pub(super) enum HeadError {
    /// The connection ended or failed before the first byte of the response.
    Silent(io::Error),
    /// In the middle of the head.
    Cut(io::Error),
    /// It is not legal.
    Bad(BadResponse),
    /// HTTP/2 failed.
    H2(h2::Error),
}

impl HeadError {
    /// What it means for the exchange.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Silent(error) | Self::Cut(error) => Error::with(Failure::UpstreamClosed, error.to_string()),
            Self::Bad(BadResponse::HeadTooLarge | BadResponse::TooManyFields) => {
                Failure::UpstreamHeadTooLarge.into()
            }
            Self::Bad(bad) => Error::new(Failure::UpstreamProtocol, bad.reason()),
            // What the endpoint itself ended, and did not end for what we sent.
            Self::H2(error) if error.is_io() || error.is_remote() => {
                Error::with(Failure::UpstreamClosed, error.to_string())
            }
            Self::H2(error) => Error::with(Failure::UpstreamProtocol, error.to_string()),
        }
    }
}

impl<'a> Sent<'a> {
    /// Prepares a request on an HTTP/1.1 connection; the first flush of the sink sends it.
    pub(super) fn h1(
        io: &'a Io,
        buffer: &'a mut Buffer,
        buffers: &'a BufferPool,
        mut out: Vec<u8>,
        head: &RequestHead,
        framing: Framing,
        limits: HeadLimits,
    ) -> Self {
        out.clear();
        write_request(&mut out, head, framing, Connection::Implied);
        let mut sink = H1Outgoing::new(io, out);
        sink.begin_body(framing);
        let source = H1Source {
            io,
            buffer,
            buffers,
            scan: Scan::default(),
            limits,
            method: head.method.clone(),
            heard: false,
            upgrade: false,
        };
        Self { sink: Outgoing::H1(sink), source: HeadSource::H1(source) }
    }

    /// Writes the head of an HTTP/1.1 request again, so that it asks for another protocol. It has no body.
    pub(super) fn ask_for_upgrade(&mut self, head: &RequestHead) {
        if let (Outgoing::H1(sink), HeadSource::H1(source)) = (&mut self.sink, &mut self.source) {
            sink.out.clear();
            write_request(&mut sink.out, head, Framing::None, Connection::Upgrade);
            sink.begin_body(Framing::None);
            source.upgrade = true;
        }
    }

    /// Opens a stream with the request's head. After an error nothing was sent.
    pub(super) async fn h2(
        connection: &H2Connection,
        request: http::Request<()>,
        ends: bool,
    ) -> Result<Self, h2::Error> {
        let mut send = connection.send.clone().ready().await?;
        let (response, stream) = send.send_request(request, ends)?;
        let sink = if ends { Outgoing::Ended } else { Outgoing::H2(H2Outgoing::new(stream)) };
        Ok(Self { sink, source: HeadSource::H2(response) })
    }

    /// Opens a stream that is to become a tunnel, and gives its way out. After an error nothing was sent.
    pub(super) async fn h2_tunnel(
        connection: &H2Connection,
        request: http::Request<()>,
    ) -> Result<(Self, H2Outgoing), h2::Error> {
        let mut send = connection.send.clone().ready().await?;
        let (response, stream) = send.send_request(request, false)?;
        // Nothing follows the head until the endpoint has agreed.
        let sent = Self { sink: Outgoing::Ended, source: HeadSource::H2(response) };
        Ok((sent, H2Outgoing::new(stream)))
    }
}

/// What the library bears of a path with its query.
const LONGEST_PATH: usize = u16::MAX as usize - 1;

/// The head of a request for HTTP/2. A request that names no authority (HTTP/1.0 need not) is sent to
/// `unnamed`.
///
/// A quotation mark in a query, which clients send and RFC 3986 does not know, is written as RFC 3986 wants it:
/// the library refuses it. What it refuses beyond that is legal as well - an escape in a host - so it is not the
/// caller who is wrong.
pub(super) fn h2_request(
    head: &RequestHead,
    unnamed: &str,
    secure: bool,
    length: Option<u64>,
) -> Result<http::Request<()>, Error> {
    let scheme = if secure { Scheme::Https } else { Scheme::Http };
    let authority = if head.authority().is_empty() { unnamed } else { head.authority() };
    let mut request = http::Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    let unwritable = |what| Error::new(Failure::NotImplemented, what);
    *request.method_mut() = http::Method::from_bytes(head.method.as_str().as_bytes())
        .map_err(|_| unwritable("this method cannot be sent in HTTP/2"))?;
    let path = if head.path_and_query().is_empty() { "/" } else { head.path_and_query() };
    let path = match path.contains('"') {
        true => Cow::Owned(path.replace('"', "%22")),
        false => Cow::Borrowed(path),
    };
    if path.len() > LONGEST_PATH {
        return Err(Failure::TargetTooLong.into());
    }
    *request.uri_mut() = http::Uri::builder()
        .scheme(scheme.as_str())
        .authority(authority)
        .path_and_query(&*path)
        .build()
        .map_err(|_| unwritable("this target cannot be sent in HTTP/2"))?;
    *request.headers_mut() = map_from_fields(&head.fields, NEVER_IN_H2);
    if let Some(length) = length {
        request.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    }
    Ok(request)
}

impl<'a> HeadSource<'a> {
    /// Ready with the next head, interim or final.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<H1OrH2, HeadError>> {
        match self {
            Self::H1(h1) => h1.poll_head(cx, head).map_ok(H1OrH2::H1),
            Self::H2(future) => {
                let response = ready!(Pin::new(future).poll(cx)).map_err(HeadError::H2)?;
                let (parts, stream) = response.into_parts();
                head.clear();
                head.status = parts.status.as_u16();
                head.version = Version::Http2;
                if !push_map(&mut head.fields, &parts.headers) {
                    return Poll::Ready(Err(HeadError::Bad(BadResponse::FieldValue)));
                }
                Poll::Ready(Ok(H1OrH2::H2(stream)))
            }
        }
    }

    /// Turns into the response's body after the final head.
    pub(super) fn into_body(
        self,
        found: H1OrH2,
        head: &ResponseHead,
        method: &Method,
    ) -> (Incoming<'a>, Meta) {
        match (self, found) {
            (Self::H1(h1), H1OrH2::H1(meta)) => (Incoming::h1(h1.io, h1.buffer, meta.framing), meta),
            (_, H1OrH2::H2(stream)) => {
                let meta = h2_meta(&stream, head, method);
                (Incoming::h2(stream), meta)
            }
            (Self::H2(_), H1OrH2::H1(meta)) => (Incoming::held(Vec::new(), None), meta),
        }
    }
}

/// What the head of an HTTP/2 response says about its body.
pub(super) fn h2_meta(stream: &h2::RecvStream, head: &ResponseHead, method: &Method) -> Meta {
    let none = *method == Method::Head || matches!(head.status, 204 | 304);
    let length = match (none, stream.is_end_stream()) {
        (true, _) => Length::None,
        (false, true) => Length::Known(0),
        (false, false) => content_length(head).map_or(Length::Unknown, Length::Known),
    };
    Meta { framing: Framing::None, length, keep_alive: true }
}

/// What [`HeadSource::poll_head`] found beside the head.
#[derive(Debug)]
pub(super) enum H1OrH2 {
    /// How an HTTP/1.1 body follows.
    H1(Meta),
    /// The stream's body.
    H2(h2::RecvStream),
}

fn content_length(head: &ResponseHead) -> Option<u64> {
    std::str::from_utf8(head.fields.get_known(crate::message::Known::ContentLength)?).ok()?.parse().ok()
}

impl H1Source<'_> {
    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<Meta, HeadError>> {
        loop {
            let parsed = if self.buffer.is_empty() {
                None
            } else {
                parse_response(self.buffer.data(), &mut self.scan, self.limits, &self.method, head)
                    .map_err(HeadError::Bad)?
            };
            if let Some(parsed) = parsed {
                self.buffer.consume(parsed.head_len);
                if parsed.tunnel && !self.upgrade {
                    // Nobody asked for a switch of protocols.
                    return Poll::Ready(Err(HeadError::Bad(BadResponse::Status)));
                }
                let length = match parsed.framing {
                    Framing::None => Length::None,
                    Framing::Length(length) => Length::Known(length),
                    Framing::Chunked | Framing::UntilClose => Length::Unknown,
                };
                return Poll::Ready(Ok(Meta {
                    framing: parsed.framing,
                    length,
                    keep_alive: parsed.keep_alive,
                }));
            }
            if self.buffer.is_bare() && ready!(self.io.poll_readable(cx)).is_ok() {
                *self.buffer = self.buffers.take();
            }
            let error = match ready!(self.io.poll_read(cx, self.buffer, 1)) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {
                    self.heard = true;
                    continue;
                }
                Err(error) => error,
            };
            return Poll::Ready(Err(if self.heard {
                HeadError::Cut(error)
            } else {
                HeadError::Silent(error)
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request for `target` at `authority`, written for HTTP/2.
    fn written(authority: &str, target: &str) -> Option<Result<http::Request<()>, Failure>> {
        let mut head = RequestHead::new();
        let legal = head.set_authority(authority.as_bytes()) && head.set_path_and_query(target.as_bytes());
        legal.then(|| h2_request(&head, "unnamed", false, None).map_err(|error| error.failure))
    }

    #[test]
    fn every_legal_target_can_be_written_for_http2() {
        let mut legal = 0;
        for byte in (0..128u8).map(char::from) {
            for target in [format!("/a{byte}b"), format!("/a?b{byte}c")] {
                let Some(request) = written("host", &target) else { continue };
                legal += 1;
                let request = request.unwrap_or_else(|failure| panic!("{target}: {failure:?}"));
                assert_eq!(request.uri().path_and_query().unwrap().as_str(), target.replace('"', "%22"));
            }
            if let Some(request) = written(&format!("a{byte}b"), "/") {
                legal += 1;
                assert!(request.is_ok(), "{byte}");
            }
        }
        assert!(legal > 200, "{legal}");
        for authority in ["[::1]", "[::1]:80", "127.0.0.1:65535", "host:"] {
            assert!(written(authority, "/").unwrap().is_ok(), "{authority}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_not_called_malformed() {
        assert_eq!(written("a%41", "/").unwrap().unwrap_err(), Failure::NotImplemented);
        let long = format!("/{}", "a".repeat(LONGEST_PATH));
        assert_eq!(written("host", &long).unwrap().unwrap_err(), Failure::TargetTooLong);
    }
}
