//! Memory: of an idle subject, of each idle connection, and of each instance of a filter.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde::Serialize;

use crate::{
    cpu, http1,
    subjects::{Running, Stage, Subject},
    tls,
    work::{Policies, Work},
};

/// How long a subject may take to find that a connection is idle.
const SETTLED: Duration = Duration::from_secs(4);
/// With fewer connections nothing is measured, only tried.
const MEASURED: usize = 1_000;

/// Connections that are made at a time.
const AT_ONCE: usize = 16;

/// Workers more than one: an instance is a filter in a worker.
const MORE_WORKERS: usize = 8;

/// One subject's memory.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) subject: &'static str,
    pub(crate) policies: Policies,
    /// Resident, some seconds after the first answer.
    pub(crate) resident_mib: f64,
    /// As many as were asked for, or as the subject can hold.
    pub(crate) connections: usize,
    pub(crate) kib_per_connection: f64,
    pub(crate) kib_per_tls_connection: f64,
}

pub(crate) fn run(
    weir: &Path,
    cache: &Path,
    subjects: &[Subject],
    policies: Policies,
    connections: usize,
) -> Result<Vec<Idle>> {
    let mut all = Vec::new();
    for &subject in subjects {
        let connections = connections.min(subject.most_connections());
        let stage = Stage::set(weir, Some(cache), Work::H1, policies)?;
        let plain = held(&stage, subject, connections).with_context(|| subject.name())?;
        let Some((resident_mib, kib_per_connection)) = plain else { continue };
        let stage = Stage::set(weir, Some(cache), Work::Tls, policies)?;
        let tls = held(&stage, subject, connections).with_context(|| subject.name())?;
        all.push(Idle {
            subject: subject.name(),
            policies,
            resident_mib,
            connections,
            kib_per_connection,
            kib_per_tls_connection: tls.map_or(f64::NAN, |(_, kib)| kib),
        });
    }
    Ok(all)
}

/// MiB with one connection, KiB for each further one that was answered once and then kept idle; nothing if the
/// subject does not do this work.
fn held(stage: &Stage, subject: Subject, connections: usize) -> Result<Option<(f64, f64)>> {
    let Ok(running) = stage.start(subject) else { return Ok(None) };
    let asker = Asker::new(stage)?;
    let _first = asker.answered(&running)?;
    let settled = || settled(&running, connections);
    let before = settled()?;
    let _kept = asker.all_answered(&running, connections.saturating_sub(1))?;
    let more = connections.saturating_sub(1).max(1) as f64;
    Ok(Some((before, (settled()? - before) * 1024.0 / more)))
}

/// Memory of one filter in one more worker: its instance, and what the worker keeps about it.
#[derive(Debug, Serialize)]
pub(crate) struct Instances {
    pub(crate) policies: Policies,
    /// The mean of the policies' filters.
    pub(crate) kib_per_instance: f64,
}

pub(crate) fn instances(
    weir: &Path,
    cache: &Path,
    policies: Policies,
    connections: usize,
) -> Result<Option<Instances>> {
    if policies == Policies::None {
        return Ok(None);
    }
    let resident = |policies, more_workers| {
        let mut stage = Stage::set(weir, Some(cache), Work::H1, policies)?;
        stage.setup.more_workers = more_workers;
        let running = stage.start_own()?;
        let _kept = Asker::new(&stage)?.answered(&running)?;
        settled(&running, connections)
    };
    // What a worker takes without filters is not theirs.
    let workers =
        |policies| Ok::<_, anyhow::Error>(resident(policies, MORE_WORKERS)? - resident(policies, 0)?);
    let instances = MORE_WORKERS * if policies == Policies::Four { 4 } else { 1 };
    let kib_per_instance = (workers(policies)? - workers(Policies::None)?) * 1024.0 / instances as f64;
    Ok(Some(Instances { policies, kib_per_instance }))
}

/// Resident MiB after some rest.
fn settled(running: &Running, connections: usize) -> Result<f64> {
    std::thread::sleep(if connections < MEASURED { SETTLED / 20 } else { SETTLED });
    cpu::resident(running.id())
}

/// Asks for the first of a stage's requests.
struct Asker {
    request: Vec<u8>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// Keeps a connection, and what TLS needs to have it alive.
enum Kept {
    Plain(#[expect(dead_code, reason = "held open")] TcpStream),
    Tls(#[expect(dead_code, reason = "held open")] Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Asker {
    fn new(stage: &Stage) -> Result<Self> {
        let request = http1::requests(&stage.requests())?.into_iter().next().context("a request")?;
        let tls = (stage.work == Work::Tls).then(|| tls::client(&stage.ca(), None)).transpose()?;
        Ok(Self { request, tls })
    }

    /// So many of them, some at a time.
    fn all_answered(&self, running: &Running, connections: usize) -> Result<Vec<Kept>> {
        let share = |of: usize| (of..connections).step_by(AT_ONCE).map(|_| self.answered(running)).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|of| scope.spawn(move || share(of))).collect();
            let shares = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("lost")));
            Ok(shares.collect::<Result<Vec<Vec<Kept>>>>()?.into_iter().flatten().collect())
        })
    }

    /// A connection that was answered once.
    fn answered(&self, running: &Running) -> Result<Kept> {
        let mut stream = TcpStream::connect(running.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let Some(config) = &self.tls else {
            ask(&mut stream, &self.request)?;
            return Ok(Kept::Plain(stream));
        };
        let client = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
        let mut stream = Box::new(StreamOwned::new(client, stream));
        ask(&mut stream, &self.request)?;
        Ok(Kept::Tls(stream))
    }
}

fn ask(stream: &mut (impl Read + Write), request: &[u8]) -> Result<()> {
    stream.write_all(request)?;
    let mut answer = [0; 4096];
    let mut length = 0;
    // The body is 128 `x`.
    while !answer[..length].ends_with(b"xxxxxxxx") || length < 128 {
        let more = stream.read(&mut answer[length..])?;
        ensure!(more > 0, "the connection was closed");
        length += more;
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "answered {:?}", String::from_utf8_lossy(&answer[..12]));
    Ok(())
}

/// Ten thousand connections need as many descriptors, here and in the subjects: takes what there is.
pub(crate) fn raise_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }).context("descriptors")
}
