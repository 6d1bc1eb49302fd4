//! The clock that interrupts endless guests.
//!
//! Compiled guests compare a counter, the epoch, with their deadline at every loop and call; this thread
//! counts it up: every four milliseconds while hooks are called, for each time takes the processor from an
//! exchange; every millisecond while one of them has met its first deadline; and not at all when none was called
//! for a while, so an idle process is never woken. To say "a hook begins" costs the caller one relaxed load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
    thread::{JoinHandle, Thread},
    time::{Duration, Instant},
};

/// How long one epoch lasts while a call is overdue.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// How long one epoch lasts otherwise.
const EASY_TICK: Duration = Duration::from_millis(4);

/// Ticks without a call after which the thread parks: more than the grace that a call begins with, so that
/// its first deadline always comes. From there on the call counts as overdue, and nothing parks before it
/// ends - not even if its thread is kept from running for a while.
const IDLE_TICKS: u32 = 3;

/// Owner of the thread; ends it when dropped.
pub(crate) struct Ticker {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What callers and the thread tell each other.
#[derive(Default)]
#[repr(align(64))] // read by every hook; nothing else may share its cache line
pub(crate) struct Signal {
    touched: AtomicBool,
    parked: AtomicBool,
    /// Calls that met their first deadline and have not ended.
    overdue: AtomicUsize,
    stop: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

/// A call that met its first deadline, for as long as it runs.
pub(crate) struct Overdue(Arc<Signal>);

impl Overdue {
    pub(crate) fn begin(signal: &Arc<Signal>) -> Self {
        signal.overdue.fetch_add(1, SeqCst);
        signal.hasten();
        Self(Arc::clone(signal))
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        self.0.overdue.fetch_sub(1, SeqCst);
    }
}

impl Signal {
    /// A hook begins or goes on: keep ticking.
    #[inline]
    pub(crate) fn touch(&self) {
        if !self.touched.load(Relaxed) {
            self.wake();
        }
    }

    /// A call is overdue: the tick under way is a short one.
    #[cold]
    fn hasten(&self) {
        self.touched.store(true, SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Either this store is seen by the thread before it parks, or this load sees that it parked.
    #[cold]
    fn wake(&self) {
        self.touched.store(true, SeqCst);
        if self.parked.load(SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl Ticker {
    /// Starts the thread for this engine.
    pub(crate) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let of_thread = Arc::clone(&signal);
        let thread = std::thread::Builder::new()
            .name("weir-ticker".to_owned())
            .spawn(move || run(&of_thread, || engine.increment_epoch()))?;
        _ = signal.thread.set(thread.thread().clone());
        Ok(Self { signal, thread: Some(thread) })
    }

    /// For those who begin hooks.
    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.signal.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            _ = thread.join();
        }
    }
}

fn run(signal: &Signal, mut tick: impl FnMut()) {
    let mut idle = 0;
    while !signal.stop.load(SeqCst) {
        if idle >= IDLE_TICKS {
            park(signal);
            idle = 0;
        }
        wait_one_tick(signal);
        tick();
        let busy = signal.touched.swap(false, SeqCst) || signal.overdue.load(SeqCst) > 0;
        idle = if busy { 0 } else { idle + 1 };
    }
}

/// Sleeps until a hook begins or the owner goes.
fn park(signal: &Signal) {
    signal.parked.store(true, SeqCst);
    while !signal.touched.load(SeqCst) && !signal.stop.load(SeqCst) {
        std::thread::park();
    }
    signal.parked.store(false, SeqCst);
}

/// A whole tick, even if a late wake-up call comes in between: a deadline must not come early.
fn wait_one_tick(signal: &Signal) {
    let begun = Instant::now();
    loop {
        let tick = if signal.overdue.load(SeqCst) > 0 { TICK } else { EASY_TICK };
        let left = tick.saturating_sub(begun.elapsed());
        if left.is_zero() || signal.stop.load(SeqCst) {
            return;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The thread's loop, and what it ticks.
    fn ticking() -> (Arc<Signal>, mpsc::Receiver<()>, JoinHandle<()>) {
        let signal = Arc::new(Signal::default());
        let (ticked, ticks) = mpsc::channel();
        let of_thread = Arc::clone(&signal);
        let thread = std::thread::spawn(move || run(&of_thread, || _ = ticked.send(())));
        _ = signal.thread.set(thread.thread().clone());
        (signal, ticks, thread)
    }

    fn end(signal: &Signal, thread: JoinHandle<()>) {
        signal.stop.store(true, SeqCst);
        thread.thread().unpark();
        thread.join().unwrap();
    }

    /// A guest that does not run for a while, right after it reported itself, is still interrupted.
    #[test]
    fn it_never_parks_while_a_call_is_overdue() {
        let (signal, ticks, thread) = ticking();
        let overdue = Overdue::begin(&signal);
        for _ in 0..IDLE_TICKS * 3 {
            ticks.recv().unwrap();
        }
        assert!(!signal.parked.load(SeqCst));
        drop(overdue);
        while !signal.parked.load(SeqCst) {
            std::thread::yield_now();
        }
        end(&signal, thread);
    }

    #[test]
    fn it_ticks_while_hooks_are_called_then_parks_until_the_next() {
        let (signal, ticks, thread) = ticking();
        for _round in 0..3 {
            signal.touch();
            ticks.recv().unwrap();
            while !signal.parked.load(SeqCst) {
                std::thread::yield_now();
            }
            let after_the_last_call = 1 + ticks.try_iter().count();
            assert!(after_the_last_call >= IDLE_TICKS as usize, "{after_the_last_call}");
            assert!(ticks.try_recv().is_err());
        }
        end(&signal, thread);
    }
}
