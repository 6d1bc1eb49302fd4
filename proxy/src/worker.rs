//! What every part of one worker shares: its clock, its randomness, its buffers, its signal to drain.
//!
//! A worker is one thread. Nothing here is visible to another one, so nothing here locks.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use weir_balance::Random;

use crate::{
    clock::{Clock, Nanos},
    stream::{BufferPool, Means, PipePool},
};

/// One worker's own things.
#[derive(Debug)]
pub struct Worker {
    /// Position among the workers; also the shard of its metrics.
    pub index: usize,
    /// Process time.
    pub clock: Clock,
    /// Buffers that connections take turns with.
    pub buffers: BufferPool,
    /// Pipes that relays take turns with.
    pub pipes: PipePool,
    /// Raised once, when the process goes down.
    pub draining: Signal,
    random: Cell<u64>,
    next_exchange: Cell<u64>,
    recent: Cell<Nanos>,
    /// Connections that have no exchange and still hold the memory of one.
    lingering: Cell<usize>,
}

impl Worker {
    /// The worker at `index`, with its own stream of randomness.
    pub fn new(index: usize, clock: Clock, seed: u64) -> Self {
        Self {
            index,
            clock,
            buffers: BufferPool::default(),
            pipes: PipePool::default(),
            draining: Signal::default(),
            random: Cell::new(seed),
            next_exchange: Cell::new((index as u64) << 48),
            recent: Cell::new(clock.now()),
            lingering: Cell::new(0),
        }
    }

    /// Reads the clock.
    pub fn now(&self) -> Nanos {
        let now = self.clock.now();
        self.recent.set(now);
        now
    }

    /// What the clock said when this worker last read it. Free, and as good as a reading wherever one was taken
    /// since the task last waited: work between two waits takes microseconds.
    pub fn recent(&self) -> Nanos {
        self.recent.get()
    }

    /// The moment that lies so far behind [`recent`](Self::recent); none if it is beyond all time.
    pub fn after(&self, duration: Duration) -> Option<Instant> {
        self.clock.instant(self.recent()).checked_add(duration).map(Instant::from_std)
    }

    /// What relays take their memory from.
    pub fn means(&self) -> Means<'_> {
        Means { buffers: &self.buffers, pipes: &self.pipes }
    }

    /// Lets a connection without an exchange hold the memory of one until the answer is dropped. None: so many do
    /// already.
    pub fn linger(&self, most: usize) -> Option<Lingering<'_>> {
        let lingering = self.lingering.get();
        (lingering < most).then(|| {
            self.lingering.set(lingering + 1);
            Lingering(self)
        })
    }

    /// Uniformly random bits (wyrand); not for secrets.
    pub fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0xa076_1d64_78bd_642f);
        self.random.set(state);
        let product = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number for a new exchange, unique in the process.
    pub fn next_exchange(&self) -> u64 {
        let id = self.next_exchange.get();
        self.next_exchange.set(id + 1);
        id
    }
}

/// See [`Worker::linger`].
#[derive(Debug)]
pub struct Lingering<'a>(&'a Worker);

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        self.0.lingering.set(self.0.lingering.get() - 1);
    }
}

/// The worker's randomness, as pickers want it.
#[derive(Debug)]
pub struct Dice<'a>(pub &'a Worker);

impl Random for Dice<'_> {
    fn next(&mut self) -> u64 {
        self.0.random()
    }
}

/// Something that is raised once and wakes all who wait for it.
#[derive(Debug, Clone, Default)]
pub struct Signal(Rc<SignalState>);

#[derive(Debug, Default)]
struct SignalState {
    raised: Cell<bool>,
    waiting: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Signal {
    /// One that is raised from the beginning.
    pub fn raised() -> Self {
        let signal = Self::default();
        signal.raise();
        signal
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.raised.get()
    }

    /// Raises it; the second time does nothing.
    pub fn raise(&self) {
        if !self.0.raised.replace(true) {
            for waker in self.0.waiting.borrow_mut().iter_mut().filter_map(Option::take) {
                waker.wake();
            }
        }
    }

    /// A place to wait in. Dropping it leaves.
    pub fn waiter(&self) -> Waiter {
        Waiter { signal: self.clone(), place: None }
    }
}

/// One who waits for a [`Signal`].
#[derive(Debug)]
pub struct Waiter {
    signal: Signal,
    place: Option<usize>,
}

impl Waiter {
    /// Whether the signal was raised.
    pub fn is_raised(&self) -> bool {
        self.signal.is_raised()
    }

    /// Ready once the signal is raised.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &*self.signal.0;
        if state.raised.get() {
            return Poll::Ready(());
        }
        let mut waiting = state.waiting.borrow_mut();
        let place = *self.place.get_or_insert_with(|| {
            state.free.borrow_mut().pop().unwrap_or_else(|| {
                waiting.push(None);
                waiting.len() - 1
            })
        });
        match &mut waiting[place] {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.signal.0.waiting.borrow_mut()[place] = None;
            self.signal.0.free.borrow_mut().push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn raising_wakes_all_who_wait_and_places_are_used_again() {
        let signal = Signal::default();
        let mut gone = signal.waiter();
        let mut stays = signal.waiter();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(gone.poll(&mut cx).is_pending());
        drop(gone);
        assert!(stays.poll(&mut cx).is_pending());
        assert_eq!(signal.0.waiting.borrow().len(), 1);
        signal.raise();
        assert!(stays.poll(&mut cx).is_ready());
        assert!(signal.waiter().poll(&mut cx).is_ready());
    }
}
