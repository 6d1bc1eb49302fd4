//! `weir run`: the control side of the process, from start to drain.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep},
};

use super::succession::Succession;
use crate::{
    admin::Admin,
    app::App,
    reload::{Seen, Watch},
    resident,
    restart::Inheritance,
    telemetry::log,
};

/// How long the thread of a reload is kept for the next one. With its end the allocator gives back what the
/// reload needed, and what was freed a second before goes to the system: measured, 60 MiB after the reload of ten
/// thousand routes are 30 MiB then.
const RELOAD_LINGERS: Duration = Duration::from_millis(1500);

/// How long after the start, and after a reload, what only they needed is given back.
const SETTLED: Duration = Duration::from_secs(2);

/// Runs until the process is asked to end.
pub(super) fn run(path: &Path, announce: Option<PathBuf>, format: log::Format) -> Result<ExitCode> {
    let seen = Seen::now([path.to_owned()]);
    let config = match weir_config::load(path) {
        Ok(config) => config,
        Err(report) => {
            eprintln!("{report}");
            return Ok(ExitCode::FAILURE);
        }
    };
    log::init(config.log, format)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let Inheritance { sockets, admin: inherited, predecessor } =
        Inheritance::take(config.restart.as_deref())?;
    let admin = config.admin.as_ref().map(|admin| bind_admin(admin.address, inherited)).transpose()?;
    let succession = Succession::new(config.restart.clone(), predecessor);
    let app = App::start(path, config, seen, sockets)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(RELOAD_LINGERS)
        .build()?;
    let ended = runtime.block_on(control(&app, admin, announce, succession));
    // A reload that is still under way has nothing left to change.
    runtime.shutdown_background();
    ended?;
    Ok(ExitCode::SUCCESS)
}

fn bind_admin(address: SocketAddr, inherited: Option<OwnedFd>) -> Result<Admin> {
    let inherited = inherited.map(|socket| Admin::inherited(socket, address)).transpose();
    let bound = inherited.and_then(|inherited| inherited.flatten().map_or_else(|| Admin::bind(address), Ok));
    bound.with_context(|| format!("admin.address: cannot listen on {address}"))
}

/// Signals that end the process; the second one ends it at once.
struct Endings {
    terminate: Signal,
    interrupt: Signal,
}

impl Endings {
    async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn control(
    app: &Arc<App>,
    admin: Option<Admin>,
    announce: Option<PathBuf>,
    mut succession: Succession,
) -> Result<()> {
    let mut endings =
        Endings { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let mut hangup = signal(SignalKind::hangup())?;
    let for_successor = admin.as_ref().map(Admin::descriptor).transpose().context("admin")?;
    let admin = admin.map(|admin| admin.serve(app)).transpose().context("admin")?;
    tokio::spawn(app.keep_data_fresh());
    tokio::spawn(app.keep_checking());
    tokio::spawn(app.keep_memory_below_its_mark());
    tokio::spawn(app.keep_identities_fresh());
    let mut watch = Watch::new(app.path().to_owned());
    watch.cover(app.seen());
    succession.begin(app, for_successor).await?;
    if let Some(file) = announce {
        tell_addresses(app, admin, &file).with_context(|| format!("--announce {}", file.display()))?;
    }
    let mut settling = pin!(sleep(SETTLED));
    let mut settled = false;
    loop {
        tokio::select! {
            () = endings.come() => break,
            () = app.ending.notified() => break,
            () = app.reloaded.notified() => {
                watch.cover(app.seen());
                settling.as_mut().reset(Instant::now() + SETTLED);
                settled = false;
                continue;
            }
            () = &mut settling, if !settled => {
                settled = true;
                give_back();
                continue;
            }
            _ = hangup.recv() => app.reopen_log(),
            () = watch.changed() => {}
        }
        let reloading = Arc::clone(app);
        // Told in the log and by the admin API. It may wait for names and disks; whoever ends the process
        // must not.
        let reload = tokio::task::spawn_blocking(move || reloading.reload());
        tokio::select! {
            _ = reload => {}
            () = endings.come() => break,
            () = app.ending.notified() => break,
        }
    }
    succession.end();
    drain(app, &mut endings).await
}

fn give_back() {
    match resident::give_back() {
        Ok(bytes) => tracing::debug!(bytes, "code that ran once is given back"),
        Err(error) => tracing::debug!(%error, "code that ran once stays in memory"),
    }
}

/// The admin API answers on meanwhile.
async fn drain(app: &Arc<App>, endings: &mut Endings) -> Result<()> {
    let draining = Arc::clone(app);
    let mut drained = tokio::task::spawn_blocking(move || draining.drain());
    loop {
        tokio::select! {
            done = &mut drained => return done.context("drain"),
            () = endings.come() => {
                tracing::warn!("asked again: ending at once");
                app.quit();
            }
        }
    }
}

fn tell_addresses(app: &App, admin: Option<SocketAddr>, file: &Path) -> Result<()> {
    let listeners: serde_json::Map<_, _> =
        app.listeners().into_iter().map(|(name, address)| (name.to_string(), address.into())).collect();
    let told = serde_json::json!({ "admin": admin.map(|a| a.to_string()), "listeners": listeners });
    // Under its name it is whole.
    let partial = file.with_extension("partial");
    std::fs::write(&partial, told.to_string())?;
    std::fs::rename(&partial, file)?;
    Ok(())
}
