//! A steady load that runs while something else is done, and counts what went wrong.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{Http1, Response, eventually, http1, tasks::Owned, within};

/// Failures that are described; further ones are only counted.
const DESCRIBED: usize = 10;

type Check = Arc<dyn Fn(&Response) -> Result<(), String> + Send + Sync>;
type Make = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// What to send, and what counts as success.
#[derive(Clone)]
pub struct LoadPlan {
    address: SocketAddr,
    tls: Option<(Arc<rustls::ClientConfig>, String)>,
    connections: usize,
    between: Duration,
    make: Make,
    check: Check,
}

impl LoadPlan {
    /// GET of `path` on four connections, each request sent when the one before was answered; 200 is success.
    pub fn new(address: SocketAddr, path: &str) -> Self {
        let bytes = http1::request("GET", path, &[], b"");
        let check: Check = Arc::new(|response| match response.status {
            200 => Ok(()),
            other => Err(format!("{other}: {}", response.text())),
        });
        Self {
            address,
            tls: None,
            connections: 4,
            between: Duration::ZERO,
            make: Arc::new(move |_| bytes.clone()),
            check,
        }
    }

    /// Over TLS with a server of this name.
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>, name: &str) -> Self {
        self.tls = Some((config, name.to_owned()));
        self
    }

    /// On so many connections.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// With a pause between a response and the next request of its connection.
    #[must_use]
    pub fn between(mut self, pause: Duration) -> Self {
        self.between = pause;
        self
    }

    /// With these fields.
    #[must_use]
    pub fn get(mut self, path: &str, fields: &[(&str, &str)]) -> Self {
        let bytes = http1::request("GET", path, fields, b"");
        self.make = Arc::new(move |_| bytes.clone());
        self
    }

    /// The bytes of each request (GET, by its number).
    #[must_use]
    pub fn requests(mut self, make: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.make = Arc::new(make);
        self
    }

    /// What counts as success; the error describes a failure.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Response) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.check = Arc::new(check);
        self
    }

    /// Begins.
    pub fn start(self) -> Load {
        let counts = Arc::new(Counts::default());
        let tasks = (0..self.connections)
            .map(|_| Owned::spawn(connection_loop(self.clone(), counts.clone())))
            .collect();
        Load { counts, tasks }
    }
}

#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    ok: AtomicU64,
    failed: AtomicU64,
    ended: AtomicU64,
    stopping: AtomicBool,
    failures: Mutex<Vec<String>>,
}

/// A load under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Load {
    counts: Arc<Counts>,
    tasks: Vec<Owned>,
}

/// What came of a load.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Requests answered as wished.
    pub ok: u64,
    /// Others.
    pub failed: u64,
    /// The first ones of those.
    pub failures: Vec<String>,
}

impl Load {
    /// Requests that succeeded so far.
    pub fn ok(&self) -> u64 {
        self.counts.ok.load(Relaxed)
    }

    /// Requests that failed so far.
    pub fn failed(&self) -> u64 {
        self.counts.failed.load(Relaxed)
    }

    /// Waits until so many requests more have succeeded or failed than now.
    pub async fn passed(&self, further: u64) -> Result<()> {
        let goal = self.ok() + self.failed() + further;
        let wait =
            eventually("the load going on", async || (self.ok() + self.failed() >= goal).then_some(()));
        wait.await.with_context(|| format!("{:?}", self.report()))
    }

    /// Lets the requests under way finish, and tells what came of all.
    pub async fn stop(self) -> Result<LoadReport> {
        self.counts.stopping.store(true, Relaxed);
        let all = self.tasks.len() as u64;
        eventually("the load ending", async || (self.counts.ended.load(Relaxed) == all).then_some(()))
            .await?;
        Ok(self.report())
    }

    fn report(&self) -> LoadReport {
        let failures = self.counts.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        LoadReport { ok: self.ok(), failed: self.failed(), failures }
    }
}

impl LoadReport {
    /// An error unless every request succeeded, and there was one.
    pub fn all_ok(&self) -> Result<()> {
        anyhow::ensure!(self.failed == 0 && self.ok > 0, "{self}");
        Ok(())
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ok, {} failed", self.ok, self.failed)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

async fn connection_loop(plan: LoadPlan, counts: Arc<Counts>) {
    let mut client = None;
    while !counts.stopping.load(Relaxed) {
        match one(&plan, &counts, &mut client).await {
            Ok(()) => {
                counts.ok.fetch_add(1, Relaxed);
            }
            Err(error) => {
                client = None;
                counts.failed.fetch_add(1, Relaxed);
                let mut failures = counts.failures.lock().unwrap_or_else(PoisonError::into_inner);
                if failures.len() < DESCRIBED {
                    failures.push(format!("{error:#}"));
                }
            }
        }
        if plan.between.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(plan.between).await;
        }
    }
    counts.ended.fetch_add(1, Relaxed);
}

async fn one(plan: &LoadPlan, counts: &Counts, client: &mut Option<Http1>) -> Result<()> {
    let number = counts.started.fetch_add(1, Relaxed);
    let connection = match client {
        Some(connection) => connection,
        None => client.insert(match &plan.tls {
            Some((config, name)) => Http1::connect_tls(plan.address, config.clone(), name).await?,
            None => Http1::connect(plan.address).await?,
        }),
    };
    connection.send((plan.make)(number)).await?;
    let response = within("a response", connection.response("GET")).await??;
    connection.wire().forget();
    (plan.check)(&response).map_err(anyhow::Error::msg).with_context(|| format!("request {number}"))?;
    if response.closes() {
        *client = None;
    }
    Ok(())
}
