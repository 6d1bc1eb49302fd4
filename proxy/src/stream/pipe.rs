//! Pipes that `splice` moves bytes through (splice(2)), and the worker's pool of them: a relay holds one only while
//! bytes are in it.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// Bytes that a pipe holds, and that are moved at once: four times what it has by itself (pipe(7)), for a fourth of
/// the calls.
const SIZE: usize = 256 * 1024;
/// Pipes that are kept for the next relay.
const KEPT: usize = 32;
/// Pipes that one worker's relays may use at once, two descriptors each; the others copy.
const LENT: usize = 128;

/// An empty pipe, or one that a relay fills and empties.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// Moves what the socket has into the pipe, which is empty; 0 is the socket's end.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let n = splice(from, None, &self.write, None, SIZE, flags())?;
        self.held += n;
        Ok(n)
    }

    /// Moves what is in the pipe to the socket, as far as that takes it.
    pub(super) fn empty(&mut self, to: impl AsFd) -> io::Result<usize> {
        let n = splice(&self.read, None, to, None, self.held, flags())?;
        self.held = self.held.saturating_sub(n);
        Ok(n)
    }

    /// Nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

/// The pipes of a worker.
#[derive(Debug, Default)]
pub struct PipePool {
    idle: RefCell<Vec<Pipe>>,
    lent: Cell<usize>,
}

impl PipePool {
    /// An empty pipe; none when enough are in use or the system gives none.
    pub(super) fn take(&self) -> Option<Pipe> {
        if self.lent.get() >= LENT {
            return None;
        }
        let idle = self.idle.borrow_mut().pop();
        let pipe = idle.or_else(|| {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            // The system bounds what one user's pipes hold together; beyond that they stay small.
            let _ = fcntl_setpipe_size(&write, SIZE);
            Some(Pipe { read, write, held: 0 })
        })?;
        self.lent.set(self.lent.get() + 1);
        Some(pipe)
    }

    /// Takes a pipe back. One that is not empty is closed, with what is in it.
    pub(super) fn give(&self, pipe: Pipe) {
        self.lent.set(self.lent.get().saturating_sub(1));
        let mut idle = self.idle.borrow_mut();
        if pipe.is_empty() && idle.len() < KEPT {
            idle.push(pipe);
        }
    }

    /// No pipe is in use.
    #[cfg(test)]
    pub(super) fn is_whole(&self) -> bool {
        self.lent.get() == 0
    }

    /// Pipes that were used and wait to be used again.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// As if all were in use.
    #[cfg(test)]
    pub(super) fn exhaust(&self) {
        self.lent.set(LENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_used_again_and_bounded() {
        let pool = PipePool::default();
        let mut lent: Vec<_> = (0..KEPT + 8).map(|_| pool.take().unwrap()).collect();
        lent[0].held = 1;
        lent.into_iter().for_each(|pipe| pool.give(pipe));
        assert_eq!(pool.idle.borrow().len(), KEPT);
        assert!(pool.idle.borrow().iter().all(Pipe::is_empty));
        assert!(pool.is_whole());
        pool.exhaust();
        assert!(pool.take().is_none());
    }
}
