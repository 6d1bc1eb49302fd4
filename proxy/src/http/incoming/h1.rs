//! [`H1Incoming`]: the framing of HTTP/1.1 is read where it lies, in the connection's buffer.

use std::{
    io,
    task::{Context, Poll, ready},
};

use super::{BodyError, LARGE};
use crate::{
    http::h1::{BadChunk, ChunkedDecoder},
    message::Fields,
    stream::{Buffer, Io},
};

/// The body of a message on an HTTP/1.1 connection; also what watches the connection when it is over.
#[derive(Debug)]
pub struct H1Incoming<'a> {
    pub(super) io: &'a Io,
    pub(super) buffer: &'a mut Buffer,
    pub(super) state: State,
    /// Bytes at the front of the buffer that are data.
    pub(super) data: usize,
    /// Bytes of framing behind them, dealt with already.
    pub(super) framing: usize,
    pub(super) large: bool,
    /// Say "100 Continue" before the first read.
    pub(super) invite: bool,
    pub(super) trailers: Option<Fields>,
}

#[derive(Debug)]
pub(super) enum State {
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
    UntilClose,
    Done,
    /// The framing is: nobody knows where the body ends, so nothing of it is looked at again.
    Broken(BadChunk),
}

impl H1Incoming<'_> {
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
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

    pub(super) fn consume(&mut self, n: usize) {
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
