//! One type for the byte streams that tests use: TCP, TLS over TCP (either side), Unix sockets.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

use anyhow::{Context, Result};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::within;

/// A connected byte stream.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP, as client or server.
    Tls(Box<TlsStream<TcpStream>>),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    /// Connects by TCP.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting", TcpStream::connect(address)).await?;
        let stream = stream.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Connects by TCP and shakes hands as a TLS client that expects `name`.
    pub async fn connect_tls(
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        name: &str,
    ) -> Result<Self> {
        let Self::Tcp(stream) = Self::connect(address).await? else { unreachable!("connect gives TCP") };
        let name = ServerName::try_from(name.to_owned()).context("server name")?;
        let stream = within("TLS handshake", TlsConnector::from(tls).connect(name, stream)).await?;
        Ok(Self::Tls(Box::new(stream.context("TLS handshake")?.into())))
    }

    /// Connects to the Unix socket at `path`.
    pub async fn connect_unix(path: &Path) -> Result<Self> {
        let stream = within("connecting", UnixStream::connect(path)).await?;
        Ok(Self::Unix(stream.with_context(|| format!("connecting to {}", path.display()))?))
    }

    /// Takes an accepted connection, as a TLS server if `tls` is given.
    pub async fn accept(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> Result<Self> {
        let Some(tls) = tls else { return Ok(Self::Tcp(stream)) };
        let stream = within("TLS handshake", TlsAcceptor::from(tls).accept(stream)).await?;
        Ok(Self::Tls(Box::new(stream.context("TLS handshake")?.into())))
    }

    /// The protocol that ALPN chose, if any.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
            _ => None,
        }
    }

    /// The certificates that the peer showed, leaf first, as DER; empty without TLS.
    pub fn peer_certificates(&self) -> &[rustls_pki_types::CertificateDer<'static>] {
        match self {
            Self::Tls(stream) => stream.get_ref().1.peer_certificates().unwrap_or_default(),
            _ => &[],
        }
    }

    /// Ends the connection at once; over TCP the peer gets a reset (RST), not an orderly end.
    pub fn reset(self) {
        let tcp = match &self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Unix(_) => None,
        };
        // Can only fail when the peer has reset the connection before us.
        let _ = tcp.map(TcpStream::set_zero_linger);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(task, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(task, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(task, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(task, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(task, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(task, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(task),
            Self::Tls(stream) => Pin::new(stream).poll_flush(task),
            Self::Unix(stream) => Pin::new(stream).poll_flush(task),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(task),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(task),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(task),
        }
    }
}
