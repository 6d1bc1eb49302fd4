//! [`Incoming`]: the body of a message on its way in, whichever version carries it.
//!
//! Data are shown where they lie - in the connection's buffer, in a frame - and used up by whoever writes
//! them on. Nothing is read that nobody has asked for: that is the back-pressure.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};

use super::{
    fields_h2::fields_from_map,
    h1::{BadChunk, ChunkedDecoder, Framing, HeadLimits},
};
use crate::{
    message::Fields,
    stream::{Buffer, Io},
};

mod copied;
mod h1;

use copied::Copied;
use h1::{H1Incoming, State};

/// What a connection's buffer grows to while a body fills it.
const LARGE: usize = 64 * 1024;

/// Trailers take at most so much.
pub(super) const TRAILERS: HeadLimits = HeadLimits { bytes: 16 * 1024, fields: 64 };

/// Why a body ended early.
#[derive(Debug)]
pub enum BodyError {
    /// The connection failed or ended.
    Io(io::Error),
    /// The framing is broken.
    Framing(BadChunk),
    /// HTTP/2 says so; the stream was reset or the connection failed.
    H2(h2::Error),
    /// It is longer than allowed.
    TooLarge,
    /// It has another length than its head said.
    Length,
}

/// A body that arrives.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// On an HTTP/1.1 connection.
    H1(H1Incoming<'a>),
    /// On an HTTP/2 stream.
    H2(H2Incoming),
    /// Read whole before.
    Held(Held<'a>),
    /// One of the others, with a copy of what has gone on.
    Copied(Box<Copied<'a>>),
}

/// The body of a message on an HTTP/2 stream.
#[derive(Debug)]
pub struct H2Incoming {
    stream: h2::RecvStream,
    data: Bytes,
    data_ended: bool,
    ended: bool,
    trailers: Option<Fields>,
}

/// A body that is in memory.
#[derive(Debug)]
pub struct Held<'a> {
    bytes: Vec<u8>,
    at: usize,
    trailers: Option<Fields>,
    /// What it came from: still the place where a caller is seen to leave.
    from: Option<H1Incoming<'a>>,
}

impl<'a> Incoming<'a> {
    /// The body that begins in `buffer` and goes on in `io`.
    pub fn h1(io: &'a Io, buffer: &'a mut Buffer, framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::new(ChunkedDecoder::new(TRAILERS))),
            Framing::UntilClose => State::UntilClose,
        };
        Self::H1(H1Incoming {
            io,
            buffer,
            state,
            data: 0,
            framing: 0,
            large: false,
            invite: false,
            trailers: None,
        })
    }

    /// The body of an HTTP/2 stream.
    pub fn h2(stream: h2::RecvStream) -> Self {
        let ended = stream.is_end_stream();
        Self::H2(H2Incoming { stream, data: Bytes::new(), data_ended: ended, ended, trailers: None })
    }

    /// A body that was read whole.
    pub fn held(bytes: Vec<u8>, trailers: Option<Fields>) -> Self {
        Self::Held(Held { bytes, at: 0, trailers, from: None })
    }

    /// Takes the place of the body that was read whole into `bytes`.
    pub fn hold(&mut self, bytes: Vec<u8>, trailers: Option<Fields>) {
        let from = match std::mem::replace(self, Self::held(bytes, trailers)) {
            Self::H1(h1) => Some(h1),
            Self::Held(before) => before.from,
            Self::H2(_) | Self::Copied(_) => None,
        };
        if let Self::Held(held) = self {
            held.from = from;
        }
    }

    /// The caller waits for a 100 before it sends: it is sent when the body is first wanted.
    pub fn invite_first(&mut self) {
        if let Self::H1(h1) = self {
            h1.invite = !matches!(h1.state, State::Done);
        }
    }

    /// Whether the caller still waits to be invited.
    pub fn awaits_invitation(&self) -> bool {
        match self {
            Self::H1(h1) => h1.invite,
            Self::Copied(copied) => copied.awaits_invitation(),
            Self::H2(_) | Self::Held(_) => false,
        }
    }

    /// Ready with true: [`data`](Self::data) holds some. Ready with false: the body is over.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        match self {
            Self::H1(h1) => h1.poll_fill(cx),
            Self::H2(h2) => h2.poll_fill(cx),
            Self::Held(held) => Poll::Ready(Ok(held.at < held.bytes.len())),
            Self::Copied(copied) => copied.poll_fill(cx),
        }
    }

    /// What is there now.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::H1(h1) => &h1.buffer.data()[..h1.data],
            Self::H2(h2) => &h2.data,
            Self::Held(held) => &held.bytes[held.at..],
            Self::Copied(copied) => copied.data(),
        }
    }

    /// Uses up `n` bytes of it.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::H1(h1) => h1.consume(n),
            Self::H2(h2) => {
                h2.data.advance(n);
                self.release(n);
            }
            Self::Held(held) => held.at += n,
            Self::Copied(copied) => copied.consume(n),
        }
    }

    /// Takes what is there now out of an HTTP/2 frame without copying it, if it is at least so much.
    /// [`release`](Self::release) has to follow when it was sent on.
    pub fn take_frame(&mut self, least: usize) -> Option<Bytes> {
        match self {
            Self::H2(h2) if h2.data.len() >= least => Some(std::mem::take(&mut h2.data)),
            Self::Copied(copied) => copied.take_frame(least),
            _ => None,
        }
    }

    /// Lets the peer send as much again as was taken and went on.
    pub fn release(&mut self, n: usize) {
        match self {
            // Fails only when the stream is gone, which the next poll tells.
            Self::H2(h2) => drop(h2.stream.flow_control().release_capacity(n)),
            Self::Copied(copied) => copied.release(n),
            Self::H1(_) | Self::Held(_) => {}
        }
    }

    /// Whether it is over: nothing remains to be read.
    pub fn is_over(&self) -> bool {
        match self {
            Self::H1(h1) => h1.data == 0 && matches!(h1.state, State::Done),
            Self::H2(h2) => h2.data.is_empty() && h2.ended,
            Self::Held(held) => held.at == held.bytes.len(),
            Self::Copied(copied) => copied.is_over(),
        }
    }

    /// Keeps a copy of what is used up from now on, up to `most` bytes, so that it can begin anew.
    pub fn keep_copy(&mut self, most: usize) {
        let from = std::mem::replace(self, Self::held(Vec::new(), None));
        *self = Self::Copied(Box::new(Copied::new(from, most)));
    }

    /// Lets go of a copy that was kept.
    pub fn drop_copy(&mut self) {
        if matches!(self, Self::Copied(_))
            && let Self::Copied(copied) = std::mem::replace(self, Self::held(Vec::new(), None))
        {
            *self = copied.into_inner();
        }
    }

    /// Bytes that may be used up without its becoming impossible to begin anew.
    pub fn repeatable(&self) -> u64 {
        match self {
            Self::Held(_) => u64::MAX,
            Self::Copied(copied) => copied.most() as u64,
            Self::H1(_) | Self::H2(_) => 0,
        }
    }

    /// Begins anew, if that is possible: nothing of it was used up, or it is in memory.
    pub fn rewind(&mut self) {
        match self {
            Self::Held(held) => held.at = 0,
            Self::Copied(copied) => copied.rewind(),
            Self::H1(_) | Self::H2(_) => {}
        }
    }

    /// Trailers, after the body is over.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::H1(h1) => h1.trailers.take(),
            Self::H2(h2) => h2.trailers.take(),
            // It may have to be sent again.
            Self::Held(held) => held.trailers.clone(),
            Self::Copied(copied) => copied.take_trailers(),
        }
    }

    /// The connection behind it, and what was read of that beyond this message. HTTP/1.1 only.
    pub fn connection(&mut self) -> Option<(&'a Io, &mut Buffer)> {
        match self {
            Self::H1(h1) | Self::Held(Held { from: Some(h1), .. }) => Some((h1.io, h1.buffer)),
            Self::H2(_) | Self::Held(_) | Self::Copied(_) => None,
        }
    }

    /// After the body is over: ready when the peer has left. Bytes of a next request are kept.
    pub fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let h1 = match self {
            Self::H1(h1) => h1,
            Self::Held(Held { from: Some(h1), .. }) => h1,
            Self::Copied(copied) => return copied.poll_left(cx),
            Self::H2(_) | Self::Held(_) => return Poll::Pending,
        };
        if !matches!(h1.state, State::Done) || !h1.buffer.is_empty() {
            return Poll::Pending;
        }
        if h1.io.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        match ready!(h1.io.poll_read(cx, h1.buffer, 1)) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }
}

impl Held<'_> {
    /// Whether trailers follow.
    pub fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }
}

impl H2Incoming {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        while self.data.is_empty() {
            if self.ended {
                return Poll::Ready(Ok(false));
            }
            if self.data_ended {
                let trailers = ready!(self.stream.poll_trailers(cx)).map_err(BodyError::H2)?;
                if let Some(map) = trailers {
                    let fields = fields_from_map(&map).ok_or(BodyError::Framing(BadChunk::Trailer))?;
                    self.trailers = Some(fields);
                }
                self.ended = true;
                continue;
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.data = data,
                Some(Err(error)) => return Poll::Ready(Err(BodyError::H2(error))),
                None => self.data_ended = true,
            }
        }
        Poll::Ready(Ok(true))
    }
}
