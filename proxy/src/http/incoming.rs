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
}

/// The body of a message on an HTTP/1.1 connection; also what watches the connection when it is over.
#[derive(Debug)]
pub struct H1Incoming<'a> {
    io: &'a Io,
    buffer: &'a mut Buffer,
    state: State,
    /// Bytes at the front of the buffer that are data.
    data: usize,
    /// Bytes of framing behind them, dealt with already.
    framing: usize,
    large: bool,
    /// Say "100 Continue" before the first read.
    invite: bool,
    trailers: Option<Fields>,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
    UntilClose,
    Done,
    /// The framing is: nobody knows where the body ends, so nothing of it is looked at again.
    Broken(BadChunk),
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
            Self::H2(_) => None,
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
        matches!(self, Self::H1(h1) if h1.invite)
    }

    /// Ready with true: [`data`](Self::data) holds some. Ready with false: the body is over.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        match self {
            Self::H1(h1) => h1.poll_fill(cx),
            Self::H2(h2) => h2.poll_fill(cx),
            Self::Held(held) => Poll::Ready(Ok(held.at < held.bytes.len())),
        }
    }

    /// What is there now.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::H1(h1) => &h1.buffer.data()[..h1.data],
            Self::H2(h2) => &h2.data,
            Self::Held(held) => &held.bytes[held.at..],
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
        }
    }

    /// Takes what is there now out of an HTTP/2 frame without copying it, if it is at least so much.
    /// [`release`](Self::release) has to follow when it was sent on.
    pub fn take_frame(&mut self, least: usize) -> Option<Bytes> {
        match self {
            Self::H2(h2) if h2.data.len() >= least => Some(std::mem::take(&mut h2.data)),
            _ => None,
        }
    }

    /// Lets the peer send as much again as was taken and went on.
    pub fn release(&mut self, n: usize) {
        if let Self::H2(h2) = self {
            // Fails only when the stream is gone, which the next poll tells.
            let _ = h2.stream.flow_control().release_capacity(n);
        }
    }

    /// Whether it is over: nothing remains to be read.
    pub fn is_over(&self) -> bool {
        match self {
            Self::H1(h1) => h1.data == 0 && matches!(h1.state, State::Done),
            Self::H2(h2) => h2.data.is_empty() && h2.ended,
            Self::Held(held) => held.at == held.bytes.len(),
        }
    }

    /// Begins anew, if that is possible: nothing of it was used up, or it is in memory.
    pub fn rewind(&mut self) {
        if let Self::Held(held) = self {
            held.at = 0;
        }
    }

    /// Trailers, after the body is over.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::H1(h1) => h1.trailers.take(),
            Self::H2(h2) => h2.trailers.take(),
            // It may have to be sent again.
            Self::Held(held) => held.trailers.clone(),
        }
    }

    /// After the body is over: ready when the peer has left. Bytes of a next request are kept.
    pub fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let h1 = match self {
            Self::H1(h1) => h1,
            Self::Held(Held { from: Some(h1), .. }) => h1,
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

impl H1Incoming<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        loop {
            if self.data > 0 {
                return Poll::Ready(Ok(true));
            }
            if self.invite {
                ready!(self.poll_invite(cx)).map_err(BodyError::Io)?;
            }
            match self.expose() {
                Ok(Some(more)) => return Poll::Ready(Ok(more)),
                Ok(None) => {}
                Err(bad) => {
                    self.state = State::Broken(bad);
                    return Poll::Ready(Err(BodyError::Framing(bad)));
                }
            }
            let reserve = if self.large { LARGE } else { 1 };
            let n = ready!(self.io.poll_read(cx, self.buffer, reserve)).map_err(BodyError::Io)?;
            self.large = self.buffer.is_full();
            if n > 0 {
                continue;
            }
            if !matches!(self.state, State::UntilClose) {
                return Poll::Ready(Err(BodyError::Io(io::ErrorKind::UnexpectedEof.into())));
            }
            self.state = State::Done;
        }
    }

    /// Finds data at the front of the buffer: some, the end, or that more must be read.
    fn expose(&mut self) -> Result<Option<bool>, BadChunk> {
        loop {
            let there = self.buffer.len();
            match &mut self.state {
                State::Done => return Ok(Some(false)),
                State::Broken(bad) => return Err(*bad),
                _ if there == 0 => return Ok(None),
                State::Length(left) => {
                    self.data = usize::try_from(*left).map_or(there, |left| left.min(there))
                }
                State::UntilClose => self.data = there,
                State::Chunked(decoder) => {
                    let found = decoder.decode(self.buffer.data())?;
                    if found.done {
                        let trailers = std::mem::take(decoder.trailers_mut());
                        self.trailers = (!trailers.is_empty()).then_some(trailers);
                        self.state = State::Done;
                    }
                    if found.data.is_empty() {
                        self.buffer.consume(found.consumed);
                        continue;
                    }
                    self.buffer.consume(found.data.start);
                    self.data = found.data.len();
                    self.framing = found.consumed - found.data.end;
                }
            }
            return Ok(Some(true));
        }
    }

    fn consume(&mut self, n: usize) {
        self.buffer.consume(n);
        self.data -= n;
        if let State::Length(left) = &mut self.state {
            *left -= n as u64;
            if *left == 0 {
                self.state = State::Done;
            }
        }
        if self.data == 0 {
            self.buffer.consume(std::mem::take(&mut self.framing));
        }
    }

    fn poll_invite(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The response has not begun, so the line goes out by itself; 25 bytes fit every socket buffer.
        const LINE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let n = ready!(self.io.poll_write(cx, &[io::IoSlice::new(LINE)]))?;
        if n < LINE.len() {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.invite = false;
        self.io.poll_flush(cx)
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
