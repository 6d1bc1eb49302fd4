//! An HTTP/2 client: whole requests, or streams driven step by step.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};

use crate::{Framing, Response, Stream, tasks::Owned, within};

/// One connection. It ends when this is dropped.
#[derive(Debug)]
pub struct Http2 {
    requests: SendRequest<Bytes>,
    _task: Owned,
}

/// A request whose body is still to be sent.
#[derive(Debug)]
pub struct Sending {
    /// The sending half: `send_data`, `send_trailers`, `send_reset`.
    pub body: h2::SendStream<Bytes>,
    response: ResponseFuture,
}

impl Http2 {
    /// Over TCP, by prior knowledge.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Self::over(Stream::connect(address).await?).await
    }

    /// Over TLS; `tls` must offer `h2`, and the connection is refused if ALPN does not choose it.
    pub async fn connect_tls(
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        name: &str,
    ) -> Result<Self> {
        let stream = Stream::connect_tls(address, tls, name).await?;
        anyhow::ensure!(stream.alpn() == Some(b"h2"), "ALPN chose {:?}", stream.alpn());
        Self::over(stream).await
    }

    /// Over a stream that is there already.
    pub async fn over(stream: Stream) -> Result<Self> {
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).initial_window_size(1 << 20).initial_connection_window_size(1 << 22);
        let (requests, connection) = within("HTTP/2 handshake", builder.handshake(stream)).await??;
        let task = Owned::spawn(async {
            // What ends a connection ends its streams too, and they report it.
            let _ = connection.await;
        });
        Ok(Self { requests, _task: task })
    }

    /// GET of `http://test` + `path`.
    pub async fn get(&self, path: &str) -> Result<Response> {
        self.request("GET", path, &[], b"").await
    }

    /// A whole request to the authority `test`, and its whole response.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut sending = self.open(method, path, fields, body.is_empty()).await?;
        if !body.is_empty() {
            send_all(&mut sending.body, body).await?;
        }
        sending.response().await
    }

    /// Sends a head only; `end`: no body follows. A path with a scheme is taken as a whole URI; others go to
    /// `http://test`.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        end: bool,
    ) -> Result<Sending> {
        let uri = if path.contains("://") { path.to_owned() } else { format!("http://test{path}") };
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut requests = within("room for a stream", self.requests.clone().ready()).await??;
        let (response, body) = requests.send_request(request.body(())?, end)?;
        Ok(Sending { body, response })
    }
}

impl Sending {
    /// Waits for the whole response.
    pub async fn response(self) -> Result<Response> {
        let (head, mut body) = within("a response", self.response).await?.context("response")?.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = within("a response body", body.data()).await? {
            let piece = piece.context("response body")?;
            body.flow_control().release_capacity(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        let trailers = within("trailers", body.trailers()).await?.context("trailers")?;
        Ok(Response {
            status: head.status.as_u16(),
            interim: Vec::new(),
            fields: pairs(&head.headers),
            framing: Framing::Stream,
            body: bytes,
            trailers: trailers.as_ref().map(pairs).unwrap_or_default(),
        })
    }

    /// Waits for the response's head, giving its body to be read (and its window opened) by the test.
    pub async fn head(self) -> Result<http::Response<h2::RecvStream>> {
        within("a response", self.response).await?.context("response")
    }

    /// Takes both halves apart, for messages that go to and fro.
    pub fn split(self) -> (h2::SendStream<Bytes>, ResponseFuture) {
        (self.body, self.response)
    }

    /// Sends `bytes` as the window allows.
    pub async fn send(&mut self, bytes: &[u8], end: bool) -> Result<()> {
        if end {
            return send_all(&mut self.body, bytes).await;
        }
        send_some(&mut self.body, bytes).await
    }
}

async fn send_all(body: &mut h2::SendStream<Bytes>, bytes: &[u8]) -> Result<()> {
    send_some(body, bytes).await?;
    // The peer may have answered and closed its half already; the response tells.
    let _ = body.send_data(Bytes::new(), true);
    Ok(())
}

async fn send_some(body: &mut h2::SendStream<Bytes>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len());
        let window = within("room to send", std::future::poll_fn(|task| body.poll_capacity(task))).await?;
        // None, or an error: the stream is over; the response tells why.
        let Some(Ok(window)) = window else { return Ok(()) };
        let (now, later) = bytes.split_at(window.min(bytes.len()));
        body.send_data(Bytes::copy_from_slice(now), false).context("sending")?;
        bytes = later;
    }
    Ok(())
}

fn pairs(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
