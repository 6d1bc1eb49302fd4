//! [`Io`]: a connection whose two directions can be used at once from one task.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::{Buffer, pipe::Pipe};

/// What carries the bytes.
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS that we accepted.
    TlsServer(Box<tokio_rustls::server::TlsStream<Raw>>),
    /// TLS that we opened.
    TlsClient(Box<tokio_rustls::client::TlsStream<Raw>>),
}

/// What TLS runs on.
#[derive(Debug)]
pub enum Raw {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A connection. Reading and writing take `&self`: a worker is one thread, and a poll never holds the
/// borrow beyond itself, so the request's body can be read while the response is written.
#[derive(Debug)]
pub struct Io {
    transport: RefCell<Transport>,
}

impl Io {
    /// Wraps a transport.
    pub fn new(transport: Transport) -> Self {
        Self { transport: RefCell::new(transport) }
    }

    /// Reads once into the free space of `buffer` (at least `reserve` bytes of it); 0 is the end.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        reserve: usize,
    ) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(buffer.space(reserve));
        ready!(Pin::new(&mut *self.transport.borrow_mut()).poll_read(cx, &mut space))?;
        let n = space.filled().len();
        buffer.filled(n);
        Poll::Ready(Ok(n))
    }

    /// As [`Io::poll_read`], awaited.
    pub async fn read(&self, buffer: &mut Buffer, reserve: usize) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, buffer, reserve)).await
    }

    /// Writes once from `slices`.
    pub fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut transport = self.transport.borrow_mut();
        let transport = Pin::new(&mut *transport);
        match slices {
            [one] => transport.poll_write(cx, one),
            many => transport.poll_write_vectored(cx, many),
        }
    }

    /// Writes all of `bytes`.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = std::future::poll_fn(|cx| self.poll_write(cx, &[IoSlice::new(bytes)])).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[n..];
        }
        self.flush().await
    }

    /// Hands buffered ciphertext to the socket; free for plain connections.
    pub async fn flush(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`Io::flush`].
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.transport.borrow_mut() {
            Transport::Tcp(_) | Transport::Unix(_) => Poll::Ready(Ok(())),
            tls => Pin::new(tls).poll_flush(cx),
        }
    }

    /// Ends our direction: close_notify for TLS, FIN for the socket.
    pub async fn shutdown(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    /// As [`Io::shutdown`].
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport.borrow_mut()).poll_shutdown(cx)
    }

    /// Ready when the socket has bytes or has ended, without reading and without a buffer: this is what
    /// an idle connection waits on.
    ///
    /// For TLS a buffered record counts as well. May be ready when a read would find nothing.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.transport.borrow() {
            Transport::Tcp(tcp) => tcp.poll_read_ready(cx),
            Transport::Unix(unix) => unix.poll_read_ready(cx),
            Transport::TlsServer(tls) => {
                let (raw, session) = tls.get_ref();
                if !session.wants_read() { Poll::Ready(Ok(())) } else { raw.poll_readable(cx) }
            }
            Transport::TlsClient(tls) => {
                let (raw, session) = tls.get_ref();
                if !session.wants_read() { Poll::Ready(Ok(())) } else { raw.poll_readable(cx) }
            }
        }
    }

    /// Whether bytes go over TCP as they are, so that the kernel can move them by itself.
    pub fn is_plain_tcp(&self) -> bool {
        matches!(&*self.transport.borrow(), Transport::Tcp(_))
    }

    /// Moves what a plain TCP connection has into a pipe; 0 is the end.
    pub(super) fn poll_fill_pipe(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let transport = self.transport.borrow();
        let Transport::Tcp(tcp) = &*transport else { return Poll::Ready(Err(not_plain())) };
        loop {
            ready!(tcp.poll_read_ready(cx))?;
            match tcp.try_io(Interest::READABLE, || pipe.fill(tcp)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => return Poll::Ready(filled),
            }
        }
    }

    /// Moves what is in a pipe out on a plain TCP connection.
    pub(super) fn poll_empty_pipe(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let transport = self.transport.borrow();
        let Transport::Tcp(tcp) = &*transport else { return Poll::Ready(Err(not_plain())) };
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            match tcp.try_io(Interest::WRITABLE, || pipe.empty(tcp)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                emptied => return Poll::Ready(emptied),
            }
        }
    }

    /// Whether the peer has said or ended anything since the last read. Asks the reactor's knowledge first;
    /// where that says "maybe" - after a read that filled its buffer, or for a TLS ticket - reads. What a
    /// connection that is not quiet had to say is lost.
    pub fn is_quiet(&self, cx: &mut Context<'_>) -> bool {
        if self.poll_readable(cx).is_pending() {
            return true;
        }
        let mut transport = self.transport.borrow_mut();
        let mut scratch = [0u8; 16];
        let mut space = ReadBuf::new(&mut scratch);
        Pin::new(&mut *transport).poll_read(cx, &mut space).is_pending()
    }

    /// Where the peer connected to; none for Unix sockets.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.transport.borrow().local_address()
    }

    /// Gives the transport back.
    pub fn into_transport(self) -> Transport {
        self.transport.into_inner()
    }

    /// Makes the close a reset, so that a peer cannot take a cut message for a whole one.
    pub fn reset_on_close(&self) {
        let transport = self.transport.borrow();
        let tcp = match &*transport {
            Transport::Tcp(tcp) => tcp,
            Transport::TlsServer(tls) => match tls.get_ref().0 {
                Raw::Tcp(tcp) => tcp,
                Raw::Unix(_) => return,
            },
            Transport::TlsClient(tls) => match tls.get_ref().0 {
                Raw::Tcp(tcp) => tcp,
                Raw::Unix(_) => return,
            },
            Transport::Unix(_) => return,
        };
        let _ = socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
    }
}

fn not_plain() -> io::Error {
    io::ErrorKind::InvalidInput.into()
}

/// Without TLS.
impl From<Raw> for Transport {
    fn from(raw: Raw) -> Self {
        match raw {
            Raw::Tcp(tcp) => Self::Tcp(tcp),
            Raw::Unix(unix) => Self::Unix(unix),
        }
    }
}

impl Transport {
    /// Where the peer connected to; none for Unix sockets.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::TlsServer(tls) => match tls.get_ref().0 {
                Raw::Tcp(tcp) => tcp,
                Raw::Unix(_) => return None,
            },
            Self::TlsClient(_) | Self::Unix(_) => return None,
        };
        tcp.local_addr().ok()
    }

    /// What TLS could run on; None: it is TLS already.
    pub fn into_raw(self) -> Option<Raw> {
        match self {
            Self::Tcp(tcp) => Some(Raw::Tcp(tcp)),
            Self::Unix(unix) => Some(Raw::Unix(unix)),
            Self::TlsServer(_) | Self::TlsClient(_) => None,
        }
    }
}

impl Raw {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_read_ready(cx),
        }
    }
}

/// Forwards the four methods to whichever variant is there.
macro_rules! delegate {
    ($type:ty, $($variant:ident),+) => {
        impl AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_read(cx, buf)),+ }
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_write(cx, bytes)),+ }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_write_vectored(cx, slices)),+ }
            }

            fn is_write_vectored(&self) -> bool {
                match self { $(Self::$variant(inner) => inner.is_write_vectored()),+ }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_flush(cx)),+ }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_shutdown(cx)),+ }
            }
        }
    };
}

delegate!(Raw, Tcp, Unix);
delegate!(Transport, Tcp, Unix, TlsServer, TlsClient);
