//! [`Outgoing`]: the body of a message on its way out, whichever version carries it.
//!
//! Small pieces are gathered and go out in one write together with the head; large ones are written from
//! where they lie. A sender calls [`Outgoing::flush`] whenever it has to wait for more.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    task::Poll,
};

use bytes::{Bytes, BytesMut};

use super::{
    fields_h2::map_from_fields,
    h1::{Framing, chunk_head, write_chunk, write_last_chunk},
};
use crate::{message::Fields, stream::Io};

/// Up to so much is gathered before it is written.
const GATHER: usize = 16 * 1024;

/// Why a message could not be sent.
#[derive(Debug)]
pub enum SendError {
    /// The connection failed.
    Io(io::Error),
    /// The stream was reset, or its connection failed.
    H2(h2::Error),
    /// The body has another length than its head said.
    Length,
    /// The peer does not want the rest.
    Left,
}

/// A body to send.
#[derive(Debug)]
pub enum Outgoing<'a> {
    /// On an HTTP/1.1 connection.
    H1(H1Outgoing<'a>),
    /// On an HTTP/2 stream.
    H2(H2Outgoing),
    /// The head said that there is none.
    Ended,
}

/// A message on an HTTP/1.1 connection: head and body go through one buffer.
#[derive(Debug)]
pub struct H1Outgoing<'a> {
    io: &'a Io,
    /// Gathered bytes; begins with the head.
    pub out: Vec<u8>,
    framing: Framing,
    left: u64,
}

/// A body on an HTTP/2 stream.
#[derive(Debug)]
pub struct H2Outgoing {
    stream: h2::SendStream<Bytes>,
    gathered: BytesMut,
}

impl<'a> H1Outgoing<'a> {
    /// A message whose head stands in `out` or will.
    pub fn new(io: &'a Io, out: Vec<u8>) -> Self {
        Self { io, out, framing: Framing::None, left: 0 }
    }

    /// How the body that follows is delimited, as the head says.
    pub fn begin_body(&mut self, framing: Framing) {
        self.framing = framing;
        self.left = if let Framing::Length(length) = framing { length } else { 0 };
    }

    /// Writes what was gathered.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        if !self.out.is_empty() {
            self.io.write_all(&self.out).await.map_err(SendError::Io)?;
            self.out.clear();
        }
        Ok(())
    }

    async fn data(&mut self, data: &[u8]) -> Result<(), SendError> {
        match self.framing {
            Framing::None => return Err(SendError::Length),
            Framing::Length(_) => {
                self.left = self.left.checked_sub(data.len() as u64).ok_or(SendError::Length)?;
            }
            Framing::Chunked | Framing::UntilClose => {}
        }
        let chunked = self.framing == Framing::Chunked;
        if self.out.len() + data.len() <= GATHER {
            if chunked {
                write_chunk(&mut self.out, data)
            } else {
                self.out.extend_from_slice(data)
            }
            return Ok(());
        }
        let head = chunk_head(data.len());
        let (head, tail): (&[u8], &[u8]) = if chunked { (head.as_bytes(), b"\r\n") } else { (b"", b"") };
        write_slices(self.io, [&self.out, head, data, tail]).await.map_err(SendError::Io)?;
        self.out.clear();
        Ok(())
    }

    async fn end(&mut self, trailers: Option<&Fields>) -> Result<(), SendError> {
        if self.left > 0 {
            return Err(SendError::Length);
        }
        if self.framing == Framing::Chunked {
            const NONE: &Fields = &Fields::new();
            write_last_chunk(&mut self.out, trailers.unwrap_or(NONE));
        }
        self.flush().await
    }
}

async fn write_slices(io: &Io, parts: [&[u8]; 4]) -> io::Result<()> {
    let mut slices = parts.map(IoSlice::new);
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let n = poll_fn(|cx| io.poll_write(cx, rest)).await?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, n);
    }
    io.flush().await
}

impl H2Outgoing {
    /// The body of a stream whose head was sent.
    pub fn new(stream: h2::SendStream<Bytes>) -> Self {
        Self { stream, gathered: BytesMut::new() }
    }

    /// Gives the stream up.
    pub fn reset(&mut self, reason: h2::Reason) {
        self.stream.send_reset(reason);
    }

    async fn data(&mut self, data: &[u8]) -> Result<(), SendError> {
        if self.gathered.len() + data.len() > GATHER {
            self.flush().await?;
        }
        self.gathered.extend_from_slice(data);
        if self.gathered.len() >= GATHER { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), SendError> {
        let gathered = self.gathered.split().freeze();
        self.send(gathered).await
    }

    async fn send(&mut self, mut bytes: Bytes) -> Result<(), SendError> {
        while !bytes.is_empty() {
            let room = self.room(bytes.len()).await?;
            self.stream.send_data(bytes.split_to(room.min(bytes.len())), false).map_err(SendError::H2)?;
        }
        Ok(())
    }

    /// Waits until the peer's window has room.
    async fn room(&mut self, wanted: usize) -> Result<usize, SendError> {
        self.stream.reserve_capacity(wanted);
        loop {
            let capacity = self.stream.capacity();
            if capacity > 0 {
                return Ok(capacity);
            }
            match poll_fn(|cx| self.stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(SendError::H2(error)),
                None => return Err(SendError::H2(h2::Reason::CANCEL.into())),
            }
        }
    }

    async fn end(&mut self, trailers: Option<&Fields>) -> Result<(), SendError> {
        if let Some(trailers) = trailers {
            self.flush().await?;
            return self
                .stream
                .send_trailers(map_from_fields(trailers, Fields::NEVER_TRAILERS))
                .map_err(SendError::H2);
        }
        let mut last = self.gathered.split().freeze();
        while !last.is_empty() {
            let room = self.room(last.len()).await?;
            if room >= last.len() {
                return self.stream.send_data(last, true).map_err(SendError::H2);
            }
            self.stream.send_data(last.split_to(room), false).map_err(SendError::H2)?;
        }
        self.stream.send_data(Bytes::new(), true).map_err(SendError::H2)
    }
}

impl Outgoing<'_> {
    /// Sends data, or keeps them for the next flush.
    pub async fn data(&mut self, data: &[u8]) -> Result<(), SendError> {
        match self {
            Self::H1(h1) => h1.data(data).await,
            Self::H2(h2) => h2.data(data).await,
            Self::Ended => Err(SendError::Length),
        }
    }

    /// As [`data`](Self::data), for data that need not be copied where they go out in frames.
    pub async fn frame(&mut self, data: Bytes) -> Result<(), SendError> {
        match self {
            Self::H2(h2) => {
                h2.flush().await?;
                h2.send(data).await
            }
            other => other.data(&data).await,
        }
    }

    /// Writes what was kept.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        match self {
            Self::H1(h1) => h1.flush().await,
            Self::H2(h2) => h2.flush().await,
            Self::Ended => Ok(()),
        }
    }

    /// Ends the message.
    pub async fn end(&mut self, trailers: Option<&Fields>) -> Result<(), SendError> {
        match self {
            Self::H1(h1) => h1.end(trailers).await,
            Self::H2(h2) => h2.end(trailers).await,
            Self::Ended => Ok(()),
        }
    }

    /// Ready when the peer has given the stream up.
    pub fn poll_reset(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        match self {
            Self::H2(h2) => h2.stream.poll_reset(cx).map(|_| ()),
            Self::H1(_) | Self::Ended => Poll::Pending,
        }
    }
}
