//! Weir as a process: started on a configuration of the test's, watched, signalled, ended.
//!
//! A process rather than the library, because signals, exit codes, files and start-up are part of what
//! operators meet, and because a test cannot reach into it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use crate::{Http1, Response, deadline::PATIENCE, eventually};

/// Lines kept of each output; a test that needs more is testing the log, not reading it.
const MOST_LINES: usize = 20_000;

/// What to start. `{dir}` in the configuration stands for the process's own folder.
#[derive(Debug, Clone)]
pub struct Launch {
    binary: PathBuf,
    config: String,
    files: Vec<(String, Vec<u8>)>,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    user: Option<u32>,
}

impl Launch {
    /// `binary` is the path of `weir` (`env!("CARGO_BIN_EXE_weir")` in its own tests).
    pub fn new(binary: impl Into<PathBuf>, config: impl Into<String>) -> Self {
        let (files, arguments, environment) = (Vec::new(), Vec::new(), Vec::new());
        Self { binary: binary.into(), config: config.into(), files, arguments, environment, user: None }
    }

    /// A file beside the configuration.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// One more argument of `weir run`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs as the user and group of this number, to whom the process's folder then belongs. Takes root.
    #[must_use]
    pub fn user(mut self, number: u32) -> Self {
        self.user = Some(number);
        self
    }

    /// Starts `weir run`, and waits until it is ready.
    pub async fn start(self) -> Result<WeirProcess> {
        let mut weir = self.spawn()?;
        let announced = weir.path("announced.json");
        let found = eventually("weir being ready", async || {
            if let Ok(Some(status)) = weir.child.try_wait() {
                return Some(Err(status));
            }
            let text = std::fs::read(&announced).ok()?;
            serde_json::from_slice::<Announced>(&text).ok().map(Ok)
        });
        match found.await {
            Ok(Ok(announced)) => weir.announced = announced,
            Ok(Err(status)) => {
                weir.join_readers();
                bail!("weir ended before it was ready ({status}):\n{}", weir.output_text());
            }
            Err(error) => bail!("{error:#}:\n{}", weir.output_text()),
        }
        Ok(weir)
    }

    /// Runs `weir run` on a configuration that it must not accept, until it ends.
    pub async fn refused(self) -> Result<Output> {
        let mut weir = self.spawn()?;
        let status = weir.ended().await?;
        ensure!(!status.success(), "weir ended well on a configuration that it should refuse");
        Ok(Output { status, stdout: weir.stdout.all(), stderr: weir.stderr.all() })
    }

    fn spawn(self) -> Result<WeirProcess> {
        let folder = tempfile::Builder::new().prefix("weir-test-").tempdir()?;
        for (name, content) in &self.files {
            std::fs::write(folder.path().join(name), content).with_context(|| format!("writing {name}"))?;
        }
        let config = folder.path().join("weir.toml");
        std::fs::write(&config, fill_in(&self.config, folder.path()))?;
        let mut binary = self.binary;
        if let Some(user) = self.user {
            binary = hand_over(folder.path(), &binary, user).context("handing files over")?;
        }
        let mut command = Command::new(&binary);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let mut child = command
            .arg("run")
            .arg("--config")
            .arg(&config)
            .arg("--announce")
            .arg(folder.path().join("announced.json"))
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let stdout = Lines::collect(child.stdout.take().context("stdout")?);
        let stderr = Lines::collect(child.stderr.take().context("stderr")?);
        Ok(WeirProcess { child, folder, announced: Announced::default(), stdout, stderr })
    }
}

/// What `--announce` writes.
#[derive(Debug, Default, Deserialize)]
struct Announced {
    admin: Option<SocketAddr>,
    listeners: BTreeMap<String, String>,
}

/// How a finished process ended, and what it printed.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Lines of its standard output.
    pub stdout: Vec<String>,
    /// Lines of its standard error.
    pub stderr: Vec<String>,
}

/// A running Weir. It is killed, by its own id, when this is dropped, and its folder removed.
#[derive(Debug)]
pub struct WeirProcess {
    child: Child,
    folder: TempDir,
    announced: Announced,
    stdout: Lines,
    stderr: Lines,
}

impl WeirProcess {
    /// Starts `weir run` on `config`, and waits until it is ready.
    pub async fn start(binary: impl Into<PathBuf>, config: impl Into<String>) -> Result<Self> {
        Launch::new(binary, config).start().await
    }

    /// Where the TCP listener called `name` listens.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let address = self.announced.listeners.get(name).with_context(|| format!("no listener {name:?}"))?;
        address.parse().with_context(|| format!("listener {name:?} is at {address}"))
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> Result<SocketAddr> {
        self.announced.admin.context("no admin address was announced")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A path in the process's own folder, where the configuration lies as `weir.toml`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// GET of the admin API.
    pub async fn admin_get(&self, path: &str) -> Result<Response> {
        self.ask_admin("GET", path, b"").await
    }

    /// POST to the admin API.
    pub async fn admin_post(&self, path: &str, body: &[u8]) -> Result<Response> {
        self.ask_admin("POST", path, body).await
    }

    async fn ask_admin(&self, method: &str, path: &str, body: &[u8]) -> Result<Response> {
        let address = self.admin()?;
        // Not under a name: those are what web pages come under.
        let host = address.to_string();
        let fields = [("Host", &*host), ("Content-Length", "0")];
        let fields = if method == "POST" && body.is_empty() { &fields[..] } else { &fields[..1] };
        Http1::connect(address).await?.request(method, path, fields, body).await
    }

    /// The value of a metric with exactly these labels, as `name{label="value"}`; none if it is not there.
    pub async fn metric(&self, series: &str) -> Result<Option<f64>> {
        let page = self.admin_get("/metrics").await?.text();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().with_context(|| format!("{series} is {value:?}"))).transpose()
    }

    /// Replaces the configuration at once, as an editor does that renames. Nothing else is told to Weir.
    pub fn rewrite_config(&self, config: &str) -> Result<()> {
        self.write_file("weir.toml", fill_in(config, self.folder.path()))
    }

    /// Writes a file of the folder at once.
    pub fn write_file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let draft = self.path(&format!(".{name}.new"));
        std::fs::write(&draft, content)?;
        std::fs::rename(&draft, self.path(name)).with_context(|| format!("writing {name}"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?).context("process id")?;
        kill_process(id, signal).context("sending a signal")
    }

    /// Waits until the process ends by itself, and its output with it.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        let status = eventually("weir ending", async || child.try_wait().transpose()).await;
        let status = status.with_context(|| self.output_text())??;
        self.join_readers();
        Ok(status)
    }

    /// Lines of its standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// Lines of its standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// Waits for a line of standard output or standard error that contains `text`, old lines included.
    pub async fn line_with(&self, text: &str) -> Result<String> {
        let what = format!("a line with {text:?}");
        let found = eventually(&what, async || {
            let lines = self.stderr.all().into_iter().chain(self.stdout.all());
            lines.into_iter().find(|line| line.contains(text))
        });
        found.await.with_context(|| self.output_text())
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    fn output_text(&self) -> String {
        let lines = self.stderr.all().into_iter().chain(self.stdout.all());
        lines.map(|line| format!("  | {line}\n")).collect()
    }

    fn join_readers(&mut self) {
        self.stdout.join();
        self.stderr.join();
    }
}

impl Drop for WeirProcess {
    fn drop(&mut self) {
        // Both fail only if the process has ended and been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_readers();
        if std::thread::panicking() {
            eprintln!("weir printed:\n{}", self.output_text());
        }
    }
}

/// The lines of one output, collected by a thread until it is closed.
#[derive(Debug)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Lines {
    fn collect(output: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let mut lines = into.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() < MOST_LINES {
                    lines.push(String::from_utf8_lossy(&line).into_owned());
                }
            }
        });
        Self { lines, reader: Some(reader) }
    }

    fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn join(&mut self) {
        // A reader ends with the process; it cannot panic.
        let _ = self.reader.take().map(std::thread::JoinHandle::join);
    }
}

impl Output {
    /// Runs `binary` with `arguments` until it ends, at most [`PATIENCE`].
    pub async fn of(binary: impl AsRef<Path>, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(binary.as_ref())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.as_ref().display()))?;
        let mut stdout = Lines::collect(child.stdout.take().context("stdout")?);
        let mut stderr = Lines::collect(child.stderr.take().context("stderr")?);
        let ended = eventually("the process ending", async || child.try_wait().transpose()).await;
        if ended.is_err() {
            child.kill()?;
            child.wait()?;
        }
        stdout.join();
        stderr.join();
        let status = ended.with_context(|| format!("{arguments:?} took longer than {PATIENCE:?}"))??;
        Ok(Self { status, stdout: stdout.all(), stderr: stderr.all() })
    }
}

/// Gives the folder and its files to a user, with the binary, which may lie where only others can reach it.
fn hand_over(folder: &Path, binary: &Path, user: u32) -> std::io::Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        chown(entry?.path(), Some(user), Some(user))?;
    }
    chown(folder, Some(user), Some(user))?;
    let reachable = folder.join("weir");
    if std::fs::hard_link(binary, &reachable).is_err() {
        std::fs::copy(binary, &reachable)?;
    }
    Ok(reachable)
}

fn fill_in(config: &str, folder: &Path) -> String {
    config.replace("{dir}", &folder.display().to_string())
}
