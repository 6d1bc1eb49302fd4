//! The thread that writes the queues out.

use super::{Queue, Shared, Target};
use crate::telemetry::metrics::SHARED;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(50);

/// How often lost lines are reported.
const REPORT: Duration = Duration::from_secs(10);

/// Memory of a queue that is kept when little goes through it.
const KEEP: usize = 64 << 10;

/// Where lines go.
pub(super) enum Output {
    Stdout,
    File(PathBuf, File),
    #[cfg(test)]
    Pipe(Box<dyn Write + Send>),
}

impl Output {
    pub(super) fn open(target: &Target) -> io::Result<Option<Self>> {
        match target {
            Target::Off => Ok(None),
            Target::Stdout => Ok(Some(Output::Stdout)),
            Target::File(path) => Ok(Some(Output::File(path.clone(), open(path)?))),
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Output::File(_, file) => file.write_all(lines),
            #[cfg(test)]
            Output::Pipe(pipe) => pipe.write_all(lines),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Output::File(path, file) = self {
            *file = open(path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Paths and identities are nobody else's business.
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    output: Output,
    /// Takes a queue's place while that is written.
    spare: Queue,
    lost: u64,
    last_error: Option<io::Error>,
    reported: (u64, Option<Instant>),
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, output: Output) -> Self {
        let spare = Queue::default();
        Writer { shared, output, spare, lost: 0, last_error: None, reported: (0, None) }
    }

    pub(super) fn run(mut self) {
        loop {
            let stopping = self.shared.stop.load(SeqCst);
            let reopening = self.shared.reopen.swap(false, SeqCst);
            let wrote = self.drain();
            if reopening {
                self.reopen();
            }
            self.report(stopping);
            if stopping {
                return;
            }
            if wrote {
                thread::park_timeout(GATHER);
            } else {
                self.sleep();
            }
        }
    }

    /// Waits for a worker, a reopening or the end. What came between the last look and the announcement is
    /// found by looking once more.
    fn sleep(&mut self) {
        self.shared.idle.store(true, SeqCst);
        if self.drain() {
            self.shared.idle.store(false, SeqCst);
            return;
        }
        let waiting = || self.shared.idle.load(SeqCst) && !self.shared.stop.load(SeqCst);
        while waiting() && !self.shared.reopen.load(SeqCst) {
            thread::park();
        }
        self.shared.idle.store(false, SeqCst);
    }

    /// Writes what all queues hold; whether there was anything.
    fn drain(&mut self) -> bool {
        let mut wrote = false;
        for worker in 0..self.shared.queues.len() {
            mem::swap(&mut *self.shared.queue(worker), &mut self.spare);
            if self.spare.bytes.is_empty() {
                continue;
            }
            wrote = true;
            if let Err(error) = self.output.write(&self.spare.bytes) {
                self.lose(self.spare.lines, error);
            }
            self.spare.lines = 0;
            self.spare.bytes.clear();
            self.spare.bytes.shrink_to(KEEP);
        }
        wrote
    }

    fn lose(&mut self, lines: u64, error: io::Error) {
        self.shared.metrics.process.access_log_dropped.add(SHARED, lines);
        self.lost += lines;
        self.last_error = Some(error);
    }

    fn reopen(&mut self) {
        if let Err(error) = self.output.reopen() {
            tracing::error!(%error, "the access log cannot be opened anew; the old file is kept");
        }
    }

    /// Says what was lost since the last report, not too often.
    fn report(&mut self, at_once: bool) {
        let dropped = self.shared.metrics.process.access_log_dropped.sum();
        let (before, when) = self.reported;
        if dropped == before || (!at_once && when.is_some_and(|when| when.elapsed() < REPORT)) {
            return;
        }
        let lost = dropped - before;
        match self.last_error.take() {
            Some(error) => tracing::error!(lost, %error, "the access log cannot be written"),
            None => tracing::warn!(lost, "the access log cannot keep up"),
        }
        self.reported = (dropped, Some(Instant::now()));
    }
}
