//! An HTTP/1.1 client that sends exactly the bytes it is told, and reads strictly.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Result, ensure};

use crate::{Response, Stream, Wire};

/// One connection. Requests may be pipelined: send several, then read as many responses.
#[derive(Debug)]
pub struct Http1 {
    wire: Wire,
}

impl Http1 {
    /// Over TCP.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self::over(Stream::connect(address).await?))
    }

    /// Over TLS; `tls` is what [`crate::Ca::client`] gives.
    pub async fn connect_tls(
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        name: &str,
    ) -> Result<Self> {
        Ok(Self::over(Stream::connect_tls(address, tls, name).await?))
    }

    /// Over a Unix socket.
    pub async fn connect_unix(path: &Path) -> Result<Self> {
        Ok(Self::over(Stream::connect_unix(path).await?))
    }

    /// Over a stream that is there already.
    pub fn over(stream: Stream) -> Self {
        Self { wire: Wire::new(stream) }
    }

    /// One connection for one GET.
    pub async fn fetch(address: SocketAddr, path: &str) -> Result<Response> {
        Self::connect(address).await?.get(path).await
    }

    /// The bytes below.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Sends `bytes` as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.wire.write(bytes.as_ref()).await
    }

    /// Reads the final response to a request of `method`.
    pub async fn response(&mut self, method: &str) -> Result<Response> {
        Response::read(&mut self.wire, method).await
    }

    /// GET with `Host: test`.
    pub async fn get(&mut self, path: &str) -> Result<Response> {
        self.request("GET", path, &[], b"").await
    }

    /// A request with `Host: test` (unless `fields` names one), and a `Content-Length` if there is a body.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        self.send(request(method, path, fields, body)).await?;
        self.response(method).await
    }

    /// Waits until the peer ends the connection, having sent nothing more.
    pub async fn closed(&mut self) -> Result<()> {
        let rest = self.wire.to_end().await?;
        ensure!(rest.is_empty(), "more bytes before the end: {:?}", String::from_utf8_lossy(&rest));
        Ok(())
    }

    /// Waits until the peer ends the connection, orderly or by a reset, having sent nothing more.
    pub async fn gone(&mut self) -> Result<()> {
        let before = self.wire.received().len();
        let ended = self.wire.to_end().await;
        let more = String::from_utf8_lossy(&self.wire.received()[before..]).into_owned();
        ensure!(more.is_empty(), "more bytes before the end: {more:?}");
        match ended {
            Err(error) if !error.chain().any(|e| e.is::<std::io::Error>()) => Err(error),
            _ => Ok(()),
        }
    }

    /// Says that nothing more will be sent (FIN).
    pub async fn finish(&mut self) -> Result<()> {
        self.wire.finish().await
    }

    /// The stream below; bytes read ahead are lost.
    pub fn into_stream(self) -> Stream {
        self.wire.into_stream()
    }

    /// Leaves with a reset.
    pub fn reset(self) {
        self.wire.into_stream().reset();
    }
}

/// The bytes of a request with `Host: test` (unless `fields` names one), and a `Content-Length` if there is
/// a body.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        bytes += "Host: test\r\n";
    }
    for (name, value) in fields {
        bytes += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        bytes += &format!("Content-Length: {}\r\n", body.len());
    }
    bytes += "\r\n";
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
