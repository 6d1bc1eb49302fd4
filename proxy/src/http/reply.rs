//! [`Reply`]: where the response to a request goes, whichever version the caller speaks.

use bytes::Bytes;
use h2::server::SendResponse;

use super::{
    fields_h2::map_from_fields,
    h1::{Connection, Framing, write_response},
    outgoing::{H1Outgoing, H2Outgoing, Outgoing, SendError},
};
use crate::message::{Known, KnownSet, ResponseHead, Version};

/// How long a body will be, as far as its head can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none, and nothing says so: the answer to `HEAD`, 204, 304.
    None,
    /// So many bytes.
    Known(u64),
    /// Until it ends.
    Unknown,
}

/// Fields that never go into an HTTP/2 head (RFC 9113 8.2.2).
pub(super) const NEVER_IN_H2: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::Host,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// The way back to the caller.
#[derive(Debug)]
pub struct Reply<'a> {
    channel: Channel,
    body: Outgoing<'a>,
    begun: bool,
    /// What the caller sends on an HTTP/2 stream that is to become a tunnel: no body.
    tunnel: Option<h2::RecvStream>,
    /// After this response the connection is not used again. HTTP/1.1 only.
    pub close: bool,
}

#[derive(Debug)]
enum Channel {
    H1 { version: Version },
    H2(SendResponse<Bytes>),
}

impl<'a> Reply<'a> {
    /// On an HTTP/1.1 connection, to a request of `version`.
    pub fn h1(sink: H1Outgoing<'a>, version: Version, close: bool) -> Self {
        let channel = Channel::H1 { version };
        Self { channel, body: Outgoing::H1(sink), begun: false, tunnel: None, close }
    }

    /// On an HTTP/2 stream.
    pub fn h2(respond: SendResponse<Bytes>) -> Self {
        let channel = Channel::H2(respond);
        Self { channel, body: Outgoing::Ended, begun: false, tunnel: None, close: false }
    }

    /// On an HTTP/2 stream that wants to become a tunnel, which `stream` is the caller's side of.
    pub fn h2_tunnel(respond: SendResponse<Bytes>, stream: h2::RecvStream) -> Self {
        Self { tunnel: Some(stream), ..Self::h2(respond) }
    }

    /// Whether the caller speaks HTTP/2.
    pub fn is_h2(&self) -> bool {
        matches!(self.channel, Channel::H2(_))
    }

    /// The caller's side of a tunnel that is an HTTP/2 stream.
    pub fn take_tunnel(&mut self) -> Option<h2::RecvStream> {
        self.tunnel.take()
    }

    /// Sends the head that makes this a tunnel, or for HTTP/1.1 keeps it for the first write. What follows
    /// through [`body`](Self::body) is what the tunnel carries.
    pub fn switch(&mut self, head: &ResponseHead) -> Result<(), SendError> {
        self.begun = true;
        self.close = true;
        match (&mut self.channel, &mut self.body) {
            (Channel::H1 { .. }, Outgoing::H1(sink)) => {
                let switches = head.status == 101;
                let connection = if switches { Connection::Upgrade } else { Connection::Implied };
                write_response(&mut sink.out, head, Framing::None, connection);
                sink.begin_body(Framing::UntilClose);
                Ok(())
            }
            (Channel::H2(respond), body) => {
                let response = h2_head(head, Length::Unknown);
                let stream = respond.send_response(response, false).map_err(SendError::H2)?;
                *body = Outgoing::H2(H2Outgoing::new(stream));
                Ok(())
            }
            (Channel::H1 { .. }, _) => Err(SendError::Length),
        }
    }

    /// Whether a head went out: then nothing can be answered any more.
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// Sends a head, or for HTTP/1.1 keeps it for the first write.
    pub fn begin(&mut self, head: &ResponseHead, length: Length) -> Result<(), SendError> {
        self.begun = true;
        match (&mut self.channel, &mut self.body) {
            (Channel::H1 { version }, Outgoing::H1(sink)) => {
                let framing = match length {
                    Length::None => Framing::None,
                    Length::Known(length) => Framing::Length(length),
                    Length::Unknown if *version == Version::Http10 => Framing::UntilClose,
                    Length::Unknown => Framing::Chunked,
                };
                self.close |= framing == Framing::UntilClose;
                let connection = match (self.close, *version) {
                    (true, _) => Connection::Close,
                    (false, Version::Http10) => Connection::KeepAlive,
                    (false, _) => Connection::Implied,
                };
                write_response(&mut sink.out, head, framing, connection);
                sink.begin_body(framing);
                Ok(())
            }
            (Channel::H2(respond), body) => {
                let ends = matches!(length, Length::None | Length::Known(0));
                let stream = respond.send_response(h2_head(head, length), ends).map_err(SendError::H2)?;
                *body = if ends { Outgoing::Ended } else { Outgoing::H2(H2Outgoing::new(stream)) };
                Ok(())
            }
            (Channel::H1 { .. }, _) => Err(SendError::Length),
        }
    }

    /// The body, after [`begin`](Self::begin).
    pub fn body(&mut self) -> &mut Outgoing<'a> {
        &mut self.body
    }

    /// Passes an interim response (103) on to callers who know what it is.
    pub async fn interim(&mut self, head: &ResponseHead) -> Result<(), SendError> {
        match (&mut self.channel, &mut self.body) {
            (Channel::H1 { version: Version::Http11 }, Outgoing::H1(sink)) => {
                write_response(&mut sink.out, head, Framing::None, Connection::Implied);
                sink.flush().await
            }
            (Channel::H2(respond), _) => {
                let mut response = h2_head(head, Length::None);
                respond.send_informational(std::mem::take(&mut response).map(|_| ())).map_err(SendError::H2)
            }
            _ => Ok(()),
        }
    }

    /// Ready when the caller has given the exchange up.
    pub fn poll_left(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        match (&mut self.channel, &mut self.body) {
            (Channel::H2(respond), Outgoing::Ended) => respond.poll_reset(cx).map(|_| ()),
            (_, body) => body.poll_reset(cx),
        }
    }

    /// Breaks the response off so that nobody takes it for whole.
    pub fn abort(&mut self) {
        self.close = true;
        match (&mut self.channel, &mut self.body) {
            (_, Outgoing::H2(stream)) => stream.reset(h2::Reason::INTERNAL_ERROR),
            (Channel::H2(respond), _) => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            _ => {}
        }
    }

    /// Gives the connection's output buffer back.
    pub fn into_output(self) -> Option<Vec<u8>> {
        match self.body {
            Outgoing::H1(sink) => Some(sink.out),
            _ => None,
        }
    }
}

fn h2_head(head: &ResponseHead, length: Length) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(head.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    *response.headers_mut() = map_from_fields(&head.fields, NEVER_IN_H2);
    if let Length::Known(length) = length {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    }
    response
}
