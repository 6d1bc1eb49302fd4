//! Relay: the bytes of two connections, each to the other, until both have ended.
//!
//! The end of one direction is passed on as such (half-close), and the other goes on. Nothing is read that the
//! other side has not room for, so that a slow reader slows its sender. A direction holds memory only while bytes
//! are on their way. Between two plain TCP connections bytes that come in large pieces stay in the kernel (splice(2)).

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Buffer, BufferPool, Deadline, Io, PipePool,
    buffer::{FIRST, LARGEST},
    pipe::Pipe,
};

/// Rounds of one direction before others get their turn.
const ROUNDS: usize = 16;

/// What a read has to bring for the kernel to move what follows by itself: to set that up costs a call or two more
/// than it saves on less.
const WORTH: usize = FIRST;
/// What has to come in this way for it to go on so.
const STILL_WORTH: usize = FIRST / 2;

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

/// Where relays take their memory from.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// For what is copied.
    pub buffers: &'a BufferPool,
    /// For what stays in the kernel.
    pub pipes: &'a PipePool,
}

/// Moves bytes both ways until both ends have ended, one has failed, or nothing moved for `idle`. `moved` is told
/// of bytes that were delivered, with the side they came from.
///
/// A side that failed is for the caller to tell the other one of.
pub async fn relay(
    means: Means<'_>,
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
    let plain = near_io.is_plain_tcp() && far_io.is_plain_tcp();
    let mut up = Direction::new(means, Side::Near, near_io, far_io, near.read, plain);
    let mut down = Direction::new(means, Side::Far, far_io, near_io, far.read, plain);
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

/// Bytes on their way.
#[derive(Debug)]
enum Held {
    Nothing,
    Copied(Buffer),
    InKernel(Pipe),
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
    means: Means<'a>,
    side: Side,
    from: &'a Io,
    to: &'a Io,
    held: Held,
    phase: Phase,
    /// The last read filled its buffer.
    large: bool,
    /// The kernel can move bytes by itself.
    plain: bool,
    /// What came last is worth it.
    splices: bool,
}

impl<'a> Direction<'a> {
    fn new(means: Means<'a>, side: Side, from: &'a Io, to: &'a Io, read: Buffer, plain: bool) -> Self {
        let held = if read.is_empty() { Held::Nothing } else { Held::Copied(read) };
        Self { means, side, from, to, held, phase: Phase::Moving, large: false, plain, splices: false }
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
                Phase::Moving if matches!(self.held, Held::Nothing) => {
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
        if self.splices
            && let Some(pipe) = self.means.pipes.take()
        {
            return self.poll_fill_pipe(cx, pipe);
        }
        let mut buffer = self.means.buffers.take();
        let read = self.from.poll_read(cx, &mut buffer, if self.large { LARGEST } else { 1 });
        if let Poll::Ready(Ok(n @ 1..)) = read {
            self.large = buffer.is_full();
            self.splices = self.plain && n >= WORTH;
            self.held = Held::Copied(buffer);
        } else {
            self.means.buffers.give(buffer);
        }
        read
    }

    fn poll_fill_pipe(&mut self, cx: &mut Context<'_>, mut pipe: Pipe) -> Poll<io::Result<usize>> {
        let filled = self.from.poll_fill_pipe(cx, &mut pipe);
        if let Poll::Ready(Ok(n @ 1..)) = filled {
            self.splices = n >= STILL_WORTH;
            self.held = Held::InKernel(pipe);
            return filled;
        }
        self.means.pipes.give(pipe);
        match filled {
            // Most likely the end, but urgent data are not spliced either: a read tells.
            Poll::Ready(Ok(_)) => self.splices = false,
            // A kernel that does not do this with these sockets: nothing was taken from them.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                (self.plain, self.splices) = (false, false);
            }
            other => return other,
        }
        self.poll_fill(cx)
    }

    /// Writes some of what is held; when that was the last, its memory goes back.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (n, done) = match &mut self.held {
            Held::Nothing => (0, true),
            Held::Copied(buffer) => {
                let n = ready!(self.to.poll_write(cx, &[io::IoSlice::new(buffer.data())]))?;
                buffer.consume(n);
                (n, buffer.is_empty())
            }
            Held::InKernel(pipe) => {
                let n = ready!(self.to.poll_empty_pipe(cx, pipe))?;
                (n, pipe.is_empty())
            }
        };
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        if done {
            self.give_back();
            self.phase = Phase::Flushing;
        }
        Poll::Ready(Ok(n))
    }

    fn give_back(&mut self) {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Copied(buffer) => self.means.buffers.give(buffer),
            Held::InKernel(pipe) => self.means.pipes.give(pipe),
        }
    }
}

impl Drop for Direction<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
