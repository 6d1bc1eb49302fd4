//! The access log: one JSON line for each exchange, written behind the workers' backs.
//!
//! A worker formats a line into a buffer of its own and appends it to its queue; a thread writes the queues
//! out. Queues are bounded: what does not fit is dropped and counted, for no exchange waits for a disk. While
//! there is traffic the thread wakes by itself and workers do not wake it; without, it sleeps.
//!
//! A line never holds field values, bodies or query strings: these carry secrets (tokens, signed URLs).

mod json;
mod record;
#[cfg(test)]
mod tests;
mod time;
mod writer;

pub use record::{Flags, Record};

use super::metrics::Metrics;
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
};
use weir_config::checked::AccessLog as Target;
use writer::{Output, Writer};

/// Bytes of lines that one worker may be ahead of the disk.
const QUEUE_MAX: usize = 1 << 20;

/// The log of a process. Dropping it writes out what is queued.
pub struct AccessLog {
    shared: Arc<Shared>,
    thread: Thread,
    join: Mutex<Option<JoinHandle<()>>>,
}

/// What workers and the writing thread have in common.
struct Shared {
    /// One per worker: locked by it for a copy, and by the thread for a swap of pointers.
    queues: Box<[Mutex<Queue>]>,
    queue_max: usize,
    /// The thread found nothing and waits to be woken.
    idle: AtomicBool,
    reopen: AtomicBool,
    stop: AtomicBool,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: u64,
}

impl Shared {
    fn queue(&self, worker: usize) -> MutexGuard<'_, Queue> {
        // A thread that panicked in here left whole lines: the length is set last.
        self.queues[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessLog {
    /// Opens the log for this many workers; `None` if config wants none.
    pub fn open(target: &Target, workers: usize, metrics: Arc<Metrics>) -> io::Result<Option<Self>> {
        match Output::open(target)? {
            Some(output) => Self::start(output, workers, metrics).map(Some),
            None => Ok(None),
        }
    }

    fn start(output: Output, workers: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queues: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            queue_max: QUEUE_MAX,
            idle: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            metrics,
        });
        let writer = Writer::new(shared.clone(), output);
        let join = thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?;
        Ok(AccessLog { shared, thread: join.thread().clone(), join: Mutex::new(Some(join)) })
    }

    /// A worker's own end of the log.
    pub fn worker(&self, worker: usize) -> WorkerLog {
        WorkerLog {
            shared: self.shared.clone(),
            thread: self.thread.clone(),
            worker,
            queue: worker % self.shared.queues.len(),
            line: Vec::new(),
        }
    }

    /// Opens the file anew under its name, after it was moved away. Lines logged before still go to the old
    /// one.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, SeqCst);
        self.thread.unpark();
    }

    /// Writes out what is queued. What is logged later is not written any more.
    pub fn finish(&self) {
        self.shared.stop.store(true, SeqCst);
        self.thread.unpark();
        if let Some(thread) = self.join.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Where one worker logs.
pub struct WorkerLog {
    shared: Arc<Shared>,
    thread: Thread,
    worker: usize,
    queue: usize,
    /// The line being made; its memory is used again.
    line: Vec<u8>,
}

impl WorkerLog {
    /// Logs an exchange. Never waits for the disk.
    pub fn log(&mut self, record: &Record<'_>) {
        self.line.clear();
        record.write(&mut self.line);
        let process = &self.shared.metrics.process;
        if !self.append() {
            process.access_log_dropped.one(self.worker);
            return;
        }
        process.access_log_lines.one(self.worker);
        // Either the thread's last look came after the append and saw the line, or `idle` was set before
        // it and is seen here.
        if self.shared.idle.swap(false, SeqCst) {
            self.thread.unpark();
        }
    }

    fn append(&self) -> bool {
        let mut queue = self.shared.queue(self.queue);
        if queue.bytes.len() + self.line.len() > self.shared.queue_max {
            return false;
        }
        queue.bytes.extend_from_slice(&self.line);
        queue.lines += 1;
        true
    }
}
