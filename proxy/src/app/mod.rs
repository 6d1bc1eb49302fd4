//! The process: workers, the control side beside them, and how both begin and end.

mod check;
mod identities;
mod listening;
mod reload;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use tokio::sync::{Notify, mpsc};
use weir_config::Config;
use weir_runtime::{Compiler, Engine, EngineSettings};

pub use check::check;
pub use reload::{Refused, Reloaded, Swapped};

use crate::{
    checks,
    clock::Clock,
    data,
    discovery::Discovery,
    listener::{
        crowd::Crowd,
        sockets::Inherited,
        worker::{Command, Seed},
    },
    overload,
    reload::{Seen, files},
    restart::Offer,
    snapshot::{BuildError, Builder, Built, Shared},
    telemetry::{
        access_log::AccessLog,
        metrics::{Metrics, SHARED},
    },
};
use listening::Listening;

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The command that compiles one filter, in a process of its own.
pub const COMPILE: &str = "compile-filter";

/// The code of a standard filter.
pub fn builtin(name: &str) -> Option<&'static [u8]> {
    builtin_digested(name).map(|(code, _)| code)
}

/// With its SHA-256, as the build found it.
fn builtin_digested(name: &str) -> Option<(&'static [u8], [u8; 32])> {
    BUILTINS.iter().find(|(known, ..)| *known == name).map(|(_, code, digest)| (*code, *digest))
}

/// How often a drain looks whether the workers are done.
const DRAIN_STEP: Duration = Duration::from_millis(10);

/// A running proxy, as the control side sees it.
pub struct App {
    path: PathBuf,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Process time.
    pub clock: Clock,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held through a whole reload: one at a time.
    control: Mutex<Control>,
    /// Held for a moment: reloads and sources of endpoints put snapshots in force, one after the other.
    swapping: Mutex<()>,
    /// Held for a moment: a drain must not wait for a reload.
    listening: Mutex<Listening>,
    /// Held for a moment.
    status: Mutex<Status>,
    access_log: Option<AccessLog>,
    draining: AtomicBool,
    handed_over: AtomicBool,
    relieved: Notify,
    /// Raised when the process is asked to end.
    pub ending: Notify,
    /// Raised after each reload: other files may count from now on.
    pub reloaded: Notify,
}

/// What a reload changes.
struct Control {
    builder: Builder,
    config: Config,
    /// As the process was started: what of it changed since takes a restart.
    started: Config,
}

/// What can be told without waiting for a reload that is under way.
#[derive(Default)]
struct Status {
    generation: u64,
    listeners: Vec<(Arc<str>, String)>,
    last_error: Option<Vec<String>>,
    restart_needed: Vec<&'static str>,
    seen: Seen,
}

/// What is told of the configuration.
#[derive(Debug, serde::Serialize)]
pub struct Standing {
    /// Counts up with each change that came into force.
    pub generation: u64,
    /// Configurations in memory: one, and those that exchanges still finish on.
    pub snapshots: u64,
    /// Why the last reload was refused, if it was.
    pub last_error: Option<Vec<String>>,
    /// Sections that differ from what the process was started with and cannot change while it runs.
    pub restart_needed: Vec<&'static str>,
    /// The file's tables, without secrets.
    pub config: serde_json::Value,
}

impl App {
    /// Starts a proxy with the configuration that was read from `path`; `seen` are the files that it was read
    /// from, as they were before. Listeners whose sockets are inherited do not bind any.
    pub fn start(
        path: &Path,
        config: Config,
        mut seen: Seen,
        inherited: Vec<Inherited>,
    ) -> Result<Arc<Self>> {
        let workers = config.workers;
        seen.look(files(&config));
        let instances = (workers * config.filters.len() * 3).clamp(64, 4096) as u32;
        let compiler = Compiler { program: "/proc/self/exe".into(), arguments: vec![COMPILE.into()] };
        let cache = config.cache.clone();
        let engine = Engine::new(EngineSettings {
            cache,
            compiler: Some(compiler),
            instances,
            ..EngineSettings::default()
        })?;
        let metrics = Metrics::new(workers);
        let discovery = Arc::new(Discovery::default());
        let known = Some(Arc::clone(&discovery));
        let mut builder = Builder::new(engine, Arc::clone(&metrics), builtin_digested, workers, known);
        let Built { snapshot, settled, renewals } =
            builder.build(config.clone(), None).map_err(|errors| told(&errors))?;
        builder.settle(settled, &config);
        renewals.iter().for_each(|renewal| renewal.adopt());
        let mut listening = Listening::new(workers, inherited);
        let bound = listening.bind_alone(&snapshot)?;
        let access_log = AccessLog::open(&config.access_log, workers, Arc::clone(&metrics))
            .with_context(|| access_log_place(&config))?;
        metrics.process.config_generation.set(SHARED, snapshot.generation);
        let snapshot = Arc::new(snapshot);
        let shared = Shared::new(Arc::clone(&snapshot), metrics);
        let clock = Clock::start();
        let (senders, threads) = start_workers(&shared, workers, clock, access_log.as_ref())?;
        if let Err(missing) = data::first_fetch(&snapshot, None, &senders) {
            missing.iter().for_each(|reason| tracing::warn!(reason, "a filter begins without its data"));
        }
        listening.apply(bound, &senders);
        let status = Status {
            generation: shared.generation(),
            seen,
            listeners: listening.told(),
            ..Status::default()
        };
        let app = Arc::new(Self {
            path: path.to_owned(),
            shared,
            clock,
            workers: senders,
            threads: Mutex::new(threads),
            control: Mutex::new(Control { builder, started: config.clone(), config }),
            listening: Mutex::new(listening),
            status: Mutex::new(status),
            access_log,
            draining: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
            relieved: Notify::new(),
            ending: Notify::new(),
            reloaded: Notify::new(),
            swapping: Mutex::new(()),
        });
        let told = Arc::downgrade(&app);
        discovery.tell(move || told.upgrade().iter().for_each(|app| app.take_endpoints()));
        Ok(app)
    }

    /// Where it listens: name and bound address.
    pub fn listeners(&self) -> Vec<(Arc<str>, String)> {
        self.status().listeners.clone()
    }

    /// The configuration in force, and what became of the last change to it.
    pub fn standing(&self) -> Standing {
        let (snapshot, status) = (self.shared.snapshot(), self.status());
        Standing {
            generation: status.generation,
            snapshots: crate::snapshot::snapshots_alive(),
            last_error: status.last_error.clone(),
            restart_needed: status.restart_needed.clone(),
            config: snapshot.config.written.shown(),
        }
    }

    /// The configuration file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Files whose change means a reload, as they were before they were read.
    pub fn seen(&self) -> Seen {
        self.status().seen.clone()
    }

    /// Fetches the data of filters again and again, for as long as the process runs.
    pub fn keep_data_fresh(&self) -> impl Future<Output = ()> + Send + use<> {
        data::keep_fresh(Arc::clone(&self.shared), self.workers.clone())
    }

    /// Checks the health of endpoints, for as long as the process runs.
    pub fn keep_checking(&self) -> impl Future<Output = ()> + Send + use<> {
        checks::keep_checking(Arc::clone(&self.shared), self.workers.clone())
    }

    /// Looks after the memory of the process, for as long as it runs.
    pub fn keep_memory_below_its_mark(&self) -> impl Future<Output = ()> + Send + use<> {
        overload::watch(Arc::clone(&self.shared), self.workers.clone())
    }

    /// Listens to the agents that identities come from, for as long as the process runs.
    pub fn keep_identities_fresh(&self) -> impl Future<Output = ()> + Send + use<> {
        identities::keep_fresh(Arc::clone(&self.shared))
    }

    /// Opens the access log's file anew.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// The process is about to end: new connections are not taken any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The sockets of all listeners, for a successor. None: this process drains.
    pub fn offer(&self) -> std::io::Result<Option<Vec<Offer>>> {
        let snapshot = self.shared.snapshot();
        match self.is_draining() {
            true => Ok(None),
            false => self.listening().offer(&snapshot),
        }
    }

    /// A successor listens on all sockets now: whoever waits there is its concern. Ends this process.
    pub fn hand_over(&self) {
        tracing::info!("a successor has taken over");
        self.listening().hand_over();
        self.handed_over.store(true, Ordering::Relaxed);
        self.relieved.notify_waiters();
        self.ending.notify_one();
    }

    /// Waits until a successor listens in its place.
    pub async fn handed_over(&self) {
        let relieved = self.relieved.notified();
        if !self.handed_over.load(Ordering::Relaxed) {
            relieved.await;
        }
    }

    /// Stops listening, lets exchanges finish within config's time, and ends the workers.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        let patience = self.shared.snapshot().config.drain;
        tracing::info!(?patience, "draining");
        // First our end of the sockets, so that each closes as soon as its worker has emptied its backlog:
        // whoever comes later is refused at once instead of waiting in vain.
        self.listening().close();
        let backlog = !self.handed_over.load(Ordering::Relaxed);
        self.workers.iter().for_each(|worker| drop(worker.send(Command::Drain { backlog })));
        let ends = Instant::now() + patience;
        let mut threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < ends {
            std::thread::sleep(DRAIN_STEP);
        }
        self.quit();
        threads.drain(..).for_each(|thread| drop(thread.join()));
        // Here, since a reload that is under way may hold on to this longer than the process lives.
        self.access_log.iter().for_each(AccessLog::finish);
        tracing::info!("drained");
    }

    /// Ends the workers now, whatever is under way.
    pub fn quit(&self) {
        self.workers.iter().for_each(|worker| drop(worker.send(Command::Quit)));
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Workers = (Vec<mpsc::UnboundedSender<Command>>, Vec<JoinHandle<()>>);

fn start_workers(
    shared: &Arc<Shared>,
    count: usize,
    clock: Clock,
    access_log: Option<&AccessLog>,
) -> Result<Workers> {
    let crowd = Crowd::new(count);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let mut threads = Vec::with_capacity(count);
    for (index, commands) in receivers.into_iter().enumerate() {
        let seed = Seed {
            index,
            clock,
            random: seed(index),
            shared: Arc::clone(shared),
            crowd: Arc::clone(&crowd),
            access_log: access_log.map(|log| log.worker(index)),
            commands,
            colleagues: senders.clone(),
        };
        threads.push(seed.start().context("a worker's thread")?);
    }
    Ok((senders, threads))
}

fn told(errors: &[BuildError]) -> anyhow::Error {
    anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn access_log_place(config: &Config) -> String {
    match &config.access_log {
        weir_config::checked::AccessLog::File(path) => format!("access_log.to: {}", path.display()),
        _ => "access_log.to".to_owned(),
    }
}

/// Randomness of a worker, from the keys that the standard library draws from the system.
fn seed(worker: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(worker)
}
