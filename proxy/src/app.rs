//! The process: workers, the control side beside them, and how both begin and end.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use tokio::sync::{Notify, mpsc};
use weir_config::{Config, differences};
use weir_runtime::{Engine, EngineSettings};

use crate::{
    clock::Clock,
    listener::{
        socket::ListenSocket,
        sockets::Sockets,
        worker::{Command, Listen, Seed},
    },
    snapshot::{Builder, Shared, Snapshot},
    telemetry::{
        access_log::AccessLog,
        metrics::{Metrics, Reload, SHARED},
    },
};

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The code of a standard filter.
pub fn builtin(name: &str) -> Option<&'static [u8]> {
    BUILTINS.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// A running proxy, as the control side sees it.
pub struct App {
    path: PathBuf,
    /// What all threads share.
    pub shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    control: Mutex<Control>,
    access_log: Option<AccessLog>,
    /// Raised when the process is asked to end.
    pub ending: Notify,
}

/// What a reload changes; one at a time.
struct Control {
    builder: Builder,
    sockets: Sockets,
    listening: HashMap<Arc<str>, Arc<ListenSocket>>,
    config: Config,
    last_error: Option<String>,
}

impl App {
    /// Starts a proxy with the configuration in a file.
    pub fn start(path: &Path) -> Result<Arc<Self>> {
        let config = weir_config::load(path).map_err(|report| anyhow!("{report}"))?;
        let workers = config.workers;
        let instances = (workers * config.filters.len() * 3).clamp(64, 4096) as u32;
        let engine = Engine::new(EngineSettings { cache: config.cache.clone(), instances })?;
        let metrics = Metrics::new(workers);
        let mut builder = Builder::new(engine, Arc::clone(&metrics), builtin, workers);
        let snapshot = builder.build(config.clone(), None).map_err(|errors| told(&errors))?;
        let sockets = Sockets::new(workers);
        let bound = bind(&sockets, &snapshot)?;
        let access_log = AccessLog::open(&config.access_log, workers, Arc::clone(&metrics))?;
        metrics.process.config_generation.set(SHARED, snapshot.generation);
        let shared = Shared::new(Arc::new(snapshot), metrics, workers);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let clock = Clock::start();
        let mut threads = Vec::with_capacity(workers);
        for (index, commands) in receivers.into_iter().enumerate() {
            let seed = Seed {
                index,
                clock,
                random: seed(index),
                shared: Arc::clone(&shared),
                access_log: access_log.as_ref().map(|log| log.worker(index)),
                commands,
                colleagues: senders.clone(),
            };
            threads.push(seed.start().context("a worker's thread")?);
        }
        let control = Control { builder, sockets, listening: HashMap::new(), config, last_error: None };
        let app = Arc::new(Self {
            path: path.to_owned(),
            shared,
            workers: senders,
            threads: Mutex::new(threads),
            control: Mutex::new(control),
            access_log,
            ending: Notify::new(),
        });
        app.listen(&mut app.control(), bound);
        Ok(app)
    }

    /// Reads the configuration again and applies what changed. Any error keeps the running one whole.
    pub fn reload(&self) -> Result<&'static str, String> {
        let mut control = self.control();
        let outcome = self.try_reload(&mut control);
        let (label, outcome) = match outcome {
            Ok(true) => (Reload::Applied, Ok("applied")),
            Ok(false) => (Reload::Unchanged, Ok("unchanged")),
            Err(reason) => (Reload::Failed, Err(reason)),
        };
        self.shared.metrics.process.config_reloads.one(SHARED, label);
        control.last_error = outcome.as_ref().err().cloned();
        match &outcome {
            Ok(result) => {
                tracing::info!(result, generation = self.shared.generation(), "configuration read again")
            }
            Err(reason) => {
                tracing::error!(reason, "the new configuration is refused; the old one stays in force")
            }
        }
        outcome
    }

    fn try_reload(&self, control: &mut Control) -> Result<bool, String> {
        let config = weir_config::load(&self.path).map_err(|report| {
            report.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })?;
        let before = self.shared.snapshot();
        let snapshot = control
            .builder
            .build(config.clone(), Some(&before))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let same_filters = before.filters.len() == snapshot.filters.len()
            && before.filters.iter().zip(&snapshot.filters).all(|(old, new)| Arc::ptr_eq(old, new));
        if same_filters && differences(&control.config, &config).is_empty() {
            return Ok(false);
        }
        let bound = bind(&control.sockets, &snapshot).map_err(|error| format!("{error:#}"))?;
        self.shared.metrics.process.config_generation.set(SHARED, snapshot.generation);
        self.shared.swap(Arc::new(snapshot));
        control.config = config;
        self.listen(control, bound);
        self.workers.iter().for_each(|worker| drop(worker.send(Command::Refresh)));
        Ok(true)
    }

    /// Begins listening on what is new and stops where a listener is gone or moved.
    fn listen(&self, control: &mut Control, bound: Vec<(Arc<str>, Arc<ListenSocket>)>) {
        control.listening.retain(|name, listening| {
            let stays = bound.iter().any(|(n, socket)| n == name && Arc::ptr_eq(socket, listening));
            if !stays {
                self.workers.iter().for_each(|worker| drop(worker.send(Command::Close(Arc::clone(name)))));
            }
            stays
        });
        for (name, socket) in bound {
            if control.listening.contains_key(&name) {
                continue;
            }
            let open = Arc::new(AtomicUsize::new(0));
            tracing::info!(listener = &*name, address = %socket.address(), "listening");
            for worker in &self.workers {
                let (name, socket, open) = (Arc::clone(&name), Arc::clone(&socket), Arc::clone(&open));
                let _ = worker.send(Command::Listen(Listen { name, socket, open }));
            }
            control.listening.insert(name, socket);
        }
    }

    /// Where it listens: name and bound address.
    pub fn listeners(&self) -> Vec<(Arc<str>, String)> {
        let control = self.control();
        let mut all: Vec<_> = control
            .listening
            .iter()
            .map(|(name, listening)| (Arc::clone(name), listening.address().to_string()))
            .collect();
        all.sort();
        all
    }

    /// The configuration in force, its generation, and why the last reload failed, if it did.
    pub fn status(&self) -> serde_json::Value {
        let error = self.control().last_error.clone();
        json!({
            "generation": self.shared.generation(),
            "snapshots": crate::snapshot::snapshots_alive(),
            "last_reload_error": error,
        })
    }

    /// Files whose change means a reload.
    pub fn files(&self) -> Vec<PathBuf> {
        let config = self.control().config.clone();
        let code = config.filters.iter().filter_map(|filter| match &filter.wasm {
            weir_config::checked::WasmSource::File(path) => Some(path.clone()),
            weir_config::checked::WasmSource::Builtin(_) => None,
        });
        std::iter::once(self.path.clone()).chain(code).collect()
    }

    /// The admin API's address, if there is one.
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.control().config.admin.as_ref().map(|admin| admin.address)
    }

    /// Opens the access log's file anew.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// Stops accepting, lets exchanges finish within config's time, and ends the workers.
    pub fn drain(&self) {
        let patience = self.control().config.drain;
        tracing::info!(?patience, "draining");
        self.workers.iter().for_each(|worker| drop(worker.send(Command::Drain)));
        let ends = std::time::Instant::now() + patience;
        let mut threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        while threads.iter().any(|thread| !thread.is_finished()) && std::time::Instant::now() < ends {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.workers.iter().for_each(|worker| drop(worker.send(Command::Quit)));
        threads.drain(..).for_each(|thread| drop(thread.join()));
    }

    fn control(&self) -> std::sync::MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(sockets: &Sockets, snapshot: &Snapshot) -> Result<Vec<(Arc<str>, Arc<ListenSocket>)>> {
    let mut bound = Vec::with_capacity(snapshot.listeners.len());
    for plan in &snapshot.listeners {
        let name = Arc::clone(&plan.config.name);
        let socket =
            sockets.bind(&name, &plan.config.address).with_context(|| format!("listeners.{name}"))?;
        bound.push((name, socket));
    }
    Ok(bound)
}

fn told(errors: &[crate::snapshot::BuildError]) -> anyhow::Error {
    anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// Randomness of a worker, from the keys that the standard library draws from the system.
fn seed(worker: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(worker)
}
