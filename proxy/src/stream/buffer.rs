//! Read buffers, and the worker's pool of them: an idle connection holds none.

use std::cell::{Cell, RefCell};

/// Bytes that were read and not yet used.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// The size buffers begin with: a head and a small body fit.
pub(super) const FIRST: usize = 16 * 1024;
/// The size that bodies in transit grow a buffer to.
pub(super) const LARGEST: usize = 64 * 1024;

impl Buffer {
    /// What is there.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Number of bytes there.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Uses up `n` bytes of the front.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Free space to read into, at least `reserve` bytes. A buffer that was filled to the brim by the
    /// last read grows, up to 64 KiB, because a large body is in transit.
    pub fn space(&mut self, reserve: usize) -> &mut [u8] {
        if self.start > 0 && self.bytes.len() - self.end < reserve {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() - self.end < reserve {
            let size = (self.end + reserve).next_power_of_two().max(FIRST);
            self.bytes.resize(size, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Says that `n` bytes of the space were filled.
    pub fn filled(&mut self, n: usize) {
        self.end += n;
        debug_assert!(self.end <= self.bytes.len());
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Whether the last read filled all space, so that more probably waits.
    pub fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Whether it has no memory yet.
    pub fn is_bare(&self) -> bool {
        self.bytes.is_empty()
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

/// Buffers and output vectors that a worker's connections take turns with.
#[derive(Debug, Default)]
pub struct BufferPool {
    buffers: RefCell<Vec<Buffer>>,
    /// Bytes of them.
    kept: Cell<usize>,
    outputs: RefCell<Vec<Vec<u8>>>,
}

/// Bytes of buffers that are kept: enough for a busy worker.
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// How many output vectors are kept; they are small, unless large bodies have just passed.
const KEPT_OUTPUTS: usize = 64;

impl BufferPool {
    /// An empty buffer.
    pub fn take(&self) -> Buffer {
        let Some(buffer) = self.buffers.borrow_mut().pop() else { return Buffer::default() };
        self.kept.set(self.kept.get() - buffer.capacity());
        buffer
    }

    /// Takes a buffer back. What it holds is forgotten.
    pub fn give(&self, mut buffer: Buffer) {
        let kept = self.kept.get() + buffer.capacity();
        if kept <= KEPT_BYTES && buffer.capacity() > 0 && buffer.capacity() <= LARGEST {
            buffer.start = 0;
            buffer.end = 0;
            self.kept.set(kept);
            self.buffers.borrow_mut().push(buffer);
        }
    }

    /// An empty output vector.
    pub fn take_output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    /// Takes an output vector back.
    pub fn give_output(&self, mut output: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if outputs.len() < KEPT_OUTPUTS && output.capacity() <= LARGEST {
            output.clear();
            outputs.push(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_moves_what_is_left_to_the_front_before_it_grows() {
        let mut buffer = Buffer::default();
        buffer.push(&vec![1; FIRST - 1]);
        buffer.consume(FIRST - 3);
        assert_eq!(buffer.data(), [1, 1]);
        assert!(buffer.space(1000).len() >= 1000);
        assert_eq!(buffer.capacity(), FIRST);
        assert_eq!(buffer.data(), [1, 1]);
    }

    #[test]
    fn a_pooled_buffer_comes_back_empty() {
        let pool = BufferPool::default();
        let mut buffer = pool.take();
        buffer.push(b"secret");
        pool.give(buffer);
        assert!(pool.take().is_empty());
    }

    #[test]
    fn what_a_pool_keeps_is_bounded() {
        let pool = BufferPool::default();
        let many = 2 * KEPT_BYTES / FIRST;
        let buffers = (0..many).map(|_| {
            let mut buffer = Buffer::default();
            buffer.push(b"x");
            buffer
        });
        buffers.collect::<Vec<_>>().into_iter().for_each(|buffer| pool.give(buffer));
        let kept = (0..many).filter(|_| !pool.take().is_bare()).count();
        assert_eq!(kept, KEPT_BYTES / FIRST);
        assert_eq!(pool.kept.get(), 0);
    }
}
