//! A network of the test's own: addresses, routes and rules that nobody else on the machine sees.
//!
//! Needs root and `ip` (iproute2). Where a namespace cannot be made, the reason is told, and the test that wanted it
//! says so instead of passing for one that has run.

use std::{
    fs::File,
    future::Future,
    os::fd::AsFd,
    path::PathBuf,
    pin::Pin,
    process::{Command, Output},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
};

/// A namespace; gone when dropped, with all links in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    inside: OnceLock<Inside>,
}

impl Namespace {
    /// An empty one, in which only the loopback device is up. `Err` with the reason if there cannot be one here.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-test-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]).context("a network namespace cannot be made")?;
        let namespace = Self { name, inside: OnceLock::new() };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Joins two by a cable, with an address of a network of 256 at either end.
    pub fn join(one: (&Self, &str), other: (&Self, &str)) -> Result<()> {
        let ends = [(one.0, one.1, "to-other"), (other.0, other.1, "to-one")];
        let [(a, _, a_link), (b, _, b_link)] = ends;
        ip(&[
            "link", "add", a_link, "netns", &a.name, "type", "veth", "peer", "name", b_link, "netns", &b.name,
        ])?;
        for (namespace, address, link) in ends {
            namespace.ip(&["address", "add", &format!("{address}/24"), "dev", link])?;
            namespace.ip(&["link", "set", link, "up"])?;
        }
        Ok(())
    }

    /// `ip` within it.
    pub fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// Runs a program within it to its end.
    pub fn output(&self, command: Command) -> Result<Output> {
        self.within(move || {
            let mut command = command;
            command.output().with_context(|| format!("{command:?}"))
        })?
    }

    /// Does something on a thread of its own that is within it: sockets made there, and processes started there, are
    /// of this network wherever they are used.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = self.file();
        let namespace = File::open(&file).with_context(|| file.display().to_string())?;
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                anyhow::Ok(work())
            });
            match there.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// The same for what waits: it runs, with all else that was begun in this way, on one thread of the namespace, which
    /// lives as long as that. Tasks that are spawned go on when this is over.
    pub async fn run<T: Send + 'static>(&self, work: impl AsyncFnOnce() -> T + Send + 'static) -> Result<T> {
        if self.inside.get().is_none() {
            // Made in vain if another one was faster.
            let _ = self.inside.set(Inside::start(self)?);
        }
        let (reply, done) = oneshot::channel();
        let work: Work = Box::new(move || {
            Box::pin(async move {
                let _ = reply.send(work().await);
            })
        });
        let inside = self.inside.get().and_then(|inside| inside.work.as_ref());
        inside.and_then(|inside| inside.send(work).ok()).context("the thread of the namespace is gone")?;
        done.await.context("what ran in the namespace has panicked")
    }

    fn file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}

/// Something to be done in a namespace.
type Work = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A thread that is within a namespace.
#[derive(Debug)]
struct Inside {
    work: Option<mpsc::UnboundedSender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    fn start(namespace: &Namespace) -> Result<Self> {
        let (work, mut given) = mpsc::unbounded_channel::<Work>();
        let follow = move || {
            let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
            LocalSet::new().block_on(&runtime, async {
                while let Some(work) = given.recv().await {
                    spawn_local(work());
                }
            });
        };
        // A thread is in the namespace of the one that starts it.
        let thread = namespace.within(|| thread::Builder::new().spawn(follow))??;
        Ok(Self { work: Some(work), thread: Some(thread) })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.work.take());
        // It ends now, and what panicked there has been told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.inside.take());
        // A test that failed has more to say than this.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = match Command::new("ip").args(arguments).output() {
        Ok(output) => output,
        Err(error) => bail!("`ip` (package iproute2) cannot be started: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
