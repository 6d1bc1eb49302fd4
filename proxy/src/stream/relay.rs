//! Relay: the bytes of two connections, each to the other, until both have ended.
//!
//! The end of one direction is passed on as such (half-close), and the other goes on. Nothing is read that the
//! other side has not room for, so that a slow reader slows its sender. A direction holds memory only while bytes
//! are on their way.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{Buffer, BufferPool, Deadline, Io, buffer::LARGEST};

/// Rounds of one direction before others get their turn.
const ROUNDS: usize = 16;

/// A side of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the caller is.
    Near,
    /// Where the endpoint is.
    Far,
}

/// How a relay ended.
#[derive(Debug)]
pub enum Relayed {
    /// Both sides have ended, orderly.
    Whole,
    /// Nothing moved for too long.
    Idle,
    /// This side's connection failed.
    Failed(Side, io::Error),
}

/// One end of a relay.
#[derive(Debug)]
pub struct End<'a> {
    /// The connection.
    pub io: &'a Io,
    /// What was read of it already.
    pub read: Buffer,
}

/// Moves bytes both ways until both ends have ended, one has failed, or nothing moved for `idle`. `moved` is told
/// of bytes that were delivered, with the side they came from.
///
/// A side that failed is for the caller to tell the other one of.
pub async fn relay(
    buffers: &BufferPool,
    near: End<'_>,
    far: End<'_>,
    idle: Duration,
    moved: impl Fn(Side, usize),
) -> Relayed {
    let last = Cell::new(Instant::now());
    let note = |from, n| {
        last.set(Instant::now());
        moved(from, n);
    };
    let (near_io, far_io) = (near.io, far.io);
    let mut up = Direction::new(buffers, Side::Near, near_io, far_io, near.read);
    let mut down = Direction::new(buffers, Side::Far, far_io, near_io, far.read);
    let mut deadline = Deadline::new();
    deadline.set(last.get().checked_add(idle));
    poll_fn(|cx| {
        let up = up.poll(cx, &note);
        if let Poll::Ready(Err((side, error))) = up {
            return Poll::Ready(Relayed::Failed(side, error));
        }
        let down = down.poll(cx, &note);
        if let Poll::Ready(Err((side, error))) = down {
            return Poll::Ready(Relayed::Failed(side, error));
        }
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Relayed::Whole);
        }
        while deadline.poll(cx).is_ready() {
            let until = last.get().checked_add(idle);
            if until.is_none_or(|until| until <= Instant::now()) {
                return Poll::Ready(Relayed::Idle);
            }
            deadline.set(until);
        }
        Poll::Pending
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Moving,
    /// Delivered, and perhaps not yet out of the sender's session.
    Flushing,
    Ending,
    Over,
}

/// One way through a relay.
struct Direction<'a> {
    buffers: &'a BufferPool,
    side: Side,
    from: &'a Io,
    to: &'a Io,
    /// Bytes on their way; without memory while there are none.
    held: Buffer,
    phase: Phase,
    /// The last read filled its buffer.
    large: bool,
}

impl<'a> Direction<'a> {
    fn new(buffers: &'a BufferPool, side: Side, from: &'a Io, to: &'a Io, read: Buffer) -> Self {
        Self { buffers, side, from, to, held: read, phase: Phase::Moving, large: false }
    }

    /// Ready when this direction has ended. An error is with the side that failed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved: &impl Fn(Side, usize),
    ) -> Poll<Result<(), (Side, io::Error)>> {
        let (source, sink) = match self.side {
            Side::Near => (Side::Near, Side::Far),
            Side::Far => (Side::Far, Side::Near),
        };
        for _ in 0..ROUNDS {
            match self.phase {
                Phase::Over => return Poll::Ready(Ok(())),
                Phase::Ending => {
                    // A peer that reset meanwhile has ended as well.
                    if let Err(error) = ready!(self.to.poll_shutdown(cx))
                        && error.kind() != io::ErrorKind::NotConnected
                    {
                        return Poll::Ready(Err((sink, error)));
                    }
                    self.phase = Phase::Over;
                }
                Phase::Flushing => {
                    ready!(self.to.poll_flush(cx)).map_err(|error| (sink, error))?;
                    self.phase = Phase::Moving;
                }
                Phase::Moving if self.held.is_empty() => {
                    if ready!(self.poll_fill(cx)).map_err(|error| (source, error))? == 0 {
                        self.phase = Phase::Ending;
                    }
                }
                Phase::Moving => {
                    let n = ready!(self.poll_deliver(cx)).map_err(|error| (sink, error))?;
                    moved(source, n);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads; 0 is the end. Memory is taken when there is something to read.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.from.poll_readable(cx))?;
        let mut buffer = self.buffers.take();
        let read = self.from.poll_read(cx, &mut buffer, if self.large { LARGEST } else { 1 });
        if let Poll::Ready(Ok(1..)) = read {
            self.large = buffer.is_full();
            self.held = buffer;
        } else {
            self.buffers.give(buffer);
        }
        read
    }

    /// Writes some of what is held; when that was the last, its memory goes back.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let n = ready!(self.to.poll_write(cx, &[io::IoSlice::new(self.held.data())]))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.held.consume(n);
        if self.held.is_empty() {
            self.buffers.give(std::mem::take(&mut self.held));
            self.phase = Phase::Flushing;
        }
        Poll::Ready(Ok(n))
    }
}

impl Drop for Direction<'_> {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.held));
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
