//! Whom we measure, and the stage that all of them stand on: the same origins, certificates and requests.

mod envoy;
mod floors;
mod haproxy;
mod nginx;
mod weir;

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use weir_testkit::{Ca, SvidPlan};

use crate::{
    cpu,
    generate::Asked,
    origin::Manner,
    token::Signer,
    work::{Policies, Wire, Work},
};
pub(crate) use weir::{Setup, first as first_filter};

/// Who everybody is, where both sides have to say it; the host is `localhost` besides.
const IDENTITY: &str = "spiffe://bench.weir.example/one";
/// The certificate with its key.
const OWN: &str = "both.pem";

/// Who can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    Weir,
    /// Weir without any policy: what Weir with policies is compared with.
    Plain,
    /// Weir as it was: the binary of another build, with the same policies.
    Before,
    Haproxy,
    Nginx,
    Envoy,
    /// Envoy with policies as proxy-wasm filters.
    EnvoyWasm,
    /// A proxy of nothing but hyper: what a core of ours costs at least.
    Floor,
    /// A relay of nothing but `splice`: what passing bytes on costs at least.
    Splice,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Plain => "weir, no policies",
            Self::Before => "weir before",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::EnvoyWasm => "envoy, proxy-wasm",
            Self::Floor => "bare hyper",
            Self::Splice => "bare splice",
        }
    }

    /// Connections that it can hold here. haproxy wants two descriptors for each, and no more are had than root is
    /// allowed on a usual machine (20,000).
    pub(crate) fn most_connections(self) -> usize {
        if self == Self::Haproxy { haproxy::MOST_CONNECTIONS } else { usize::MAX }
    }

    /// Its program, if it is installed.
    pub(crate) fn binary(self, weir: &Path) -> Option<PathBuf> {
        match self {
            Self::Weir | Self::Plain => Some(weir.to_owned()),
            Self::Before => std::env::var_os("BEFORE").map(PathBuf::from).filter(|file| file.is_file()),
            Self::Haproxy => found("haproxy"),
            Self::Nginx => found("nginx"),
            Self::Envoy | Self::EnvoyWasm => envoy::binary(),
            Self::Floor | Self::Splice => std::env::current_exe().ok(),
        }
    }
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What is the same for all subjects of a work.
pub(crate) struct Stage {
    pub(crate) work: Work,
    pub(crate) policies: Policies,
    weir: PathBuf,
    cache: PathBuf,
    folder: TempDir,
    origins: Vec<Running>,
    signer: Signer,
    pub(crate) setup: Setup,
}

/// A process of the benchmark; killed, by its own id, when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Weir's admin API, if it serves one.
    pub(crate) admin: Option<SocketAddr>,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(id, Signal::TERM)?;
        let patience = Instant::now() + Duration::from_secs(60);
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < patience, "{} does not end", self.id());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stage {
    /// Starts the origins and writes certificates, keys and requests. Weir keeps compiled filters in `cache`, or,
    /// without one, in the stage's own folder.
    pub(crate) fn set(weir: &Path, cache: Option<&Path>, work: Work, policies: Policies) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("weir-load-").tempdir()?;
        let ca = Ca::new()?;
        ca.write_to(folder.path(), "ca")?;
        // The same for proxy, load and origins.
        let plan = SvidPlan { more: &["localhost"], expires: 30 * 86_400, ..SvidPlan::of(IDENTITY) };
        let leaf = ca.svid(&plan)?;
        leaf.write_to(folder.path(), "leaf")?;
        std::fs::write(folder.path().join(OWN), leaf.pem() + &leaf.key_pem())?;
        let signer = Signer::new()?;
        std::fs::write(folder.path().join("jwks.json"), signer.jwks())?;
        std::fs::write(folder.path().join("public.pem"), signer.public_pem())?;
        let origins = (0..2).map(|_| origin(work, folder.path())).collect::<Result<_>>()?;
        let cache = cache.map_or_else(|| folder.path().join("cache"), Path::to_owned);
        let (weir, setup) = (weir.to_owned(), Setup::default());
        let stage = Self { work, policies, weir, cache, folder, origins, signer, setup };
        stage.ask_as(CALLERS)?;
        Ok(stage)
    }

    /// So many callers ask from here on.
    pub(crate) fn ask_as(&self, callers: usize) -> Result<()> {
        Ok(std::fs::write(self.requests(), requests(self.policies, &self.signer, callers)?)?)
    }

    /// Starts a subject and waits until it answers; or why it cannot do this work.
    pub(crate) fn start(&self, subject: Subject) -> Result<Running, String> {
        self.is_possible()?;
        let running = match subject {
            Subject::Weir => weir::start(self, &self.weir, self.policies),
            Subject::Plain if self.policies == Policies::None => return Err("is weir itself".to_owned()),
            Subject::Plain => weir::start(self, &self.weir, Policies::None),
            Subject::Before => match subject.binary(&self.weir) {
                Some(before) => weir::start(self, &before, self.policies),
                None => return Err("the variable BEFORE names no binary".to_owned()),
            },
            Subject::Haproxy => haproxy::start(self)?,
            Subject::Nginx => nginx::start(self)?,
            Subject::Envoy => envoy::start(self)?,
            Subject::EnvoyWasm => envoy::start_wasm(self)?,
            Subject::Floor => floors::hyper(self)?,
            Subject::Splice => floors::splice(self)?,
        };
        running.map_err(|error| format!("{error:#}"))
    }

    /// Or why no subject can do this.
    fn is_possible(&self) -> Result<(), String> {
        if self.work.is_relay() && self.policies != Policies::None {
            return Err("policies decide on requests; a relay sees none".to_owned());
        }
        Ok(())
    }

    /// Starts Weir with this configuration, in a file named so.
    pub(crate) fn start_weir(&self, name: &str, configuration: &str) -> Result<Running> {
        weir::start_with(self, &self.weir, name, configuration)
    }

    /// Where Weir keeps compiled filters.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Weir with the stage's policies.
    pub(crate) fn start_own(&self) -> Result<Running> {
        self.is_possible().map_err(anyhow::Error::msg)?;
        weir::start(self, &self.weir, self.policies)
    }

    /// The load on a proxy, so wide (connections, and requests at a time on each); how long and how fast is for
    /// the caller to say.
    pub(crate) fn load(&self, proxy: SocketAddr, width: (usize, usize)) -> Result<Command> {
        let wire = self.work.wire().to_possible_value().context("a wire")?;
        let mut load = Command::new("taskset");
        load.args(["-c", "1"]).arg(std::env::current_exe()?).arg("generate");
        load.args(["--target", &proxy.to_string(), "--wire", wire.get_name()]);
        load.args(["--connections", &width.0.to_string(), "--streams", &width.1.to_string()]);
        load.arg("--requests").arg(self.requests());
        load.arg("--ca").arg(self.ca()).arg("--own").arg(self.file(OWN));
        Ok(load)
    }

    pub(crate) fn requests(&self) -> PathBuf {
        self.file("requests.json")
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// CPU seconds of the origins.
    pub(crate) fn origins_cpu(&self) -> Result<f64> {
        self.origins.iter().map(|origin| Ok(cpu::of(origin.id())?.cpu)).sum()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn origin(&self, number: usize) -> SocketAddr {
        self.origins[number].address
    }
}

/// Callers if nobody says how many: policies see the same ones again and again.
pub(crate) const CALLERS: usize = 100;

/// Requests by so many users, each for a path of its own, with a token if policies want one.
fn requests(policies: Policies, signer: &Signer, callers: usize) -> Result<Vec<u8>> {
    let token = signer.token()?;
    let asked: Vec<Asked> = (0..callers)
        .map(|user| {
            let mut fields = vec![("x-user".to_owned(), format!("user-{user}"))];
            if policies.token() {
                fields.push(("authorization".to_owned(), format!("Bearer {token}")));
            }
            Asked { path: format!("/users/{user}/orders"), fields }
        })
        .collect();
    Ok(serde_json::to_vec(&asked)?)
}

fn origin(work: Work, folder: &Path) -> Result<Running> {
    let manner = match work.wire() {
        Wire::Websocket => Manner::Websocket,
        Wire::Echo => Manner::Echo,
        _ => Manner::Answer,
    };
    let manner = manner.to_possible_value().context("a manner")?;
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(std::env::current_exe()?).arg("origin");
    command.args(["--manner", manner.get_name(), "--body", &work.body().to_string()]);
    if work.wire().is_mutual() {
        command.arg("--own").arg(folder.join(OWN)).arg("--ca").arg(folder.join("ca.pem"));
    }
    announced(command)
}

/// A command on the proxy's core.
fn pinned(binary: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(binary);
    command
}

/// Starts what prints its address first.
fn announced(mut command: Command) -> Result<Running> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
    let output = child.stdout.take().context("stdout")?;
    // Owned from here on, so that it ends if it says nothing useful.
    let mut running = Running { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), admin: None };
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    running.address = line.trim().parse().with_context(|| format!("{command:?} said {line:?}"))?;
    Ok(running)
}

/// Starts what listens at an address that we gave it, and waits until it does. Its words go to a file, shown if
/// it ends.
fn listening(stage: &Stage, name: &str, mut command: Command, address: SocketAddr) -> Result<Running> {
    let words = stage.file(&format!("{name}.log"));
    let log = std::fs::File::create(&words)?;
    command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
    let child = command.spawn().with_context(|| format!("{command:?}"))?;
    let mut running = Running { child, address, admin: None };
    let patience = Instant::now() + Duration::from_secs(20);
    while !listens(address) {
        if running.child.try_wait()?.is_some() || Instant::now() > patience {
            bail!("{name} does not listen: {}", std::fs::read_to_string(words)?.trim());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(running)
}

/// Whether somebody accepts there. A connection to a free port of the system's may meet itself: that is nobody.
fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok_and(|stream| stream.local_addr().is_ok_and(|own| own != address))
}

/// A port that was free a moment ago, for programs that cannot tell which one the system gave them.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
