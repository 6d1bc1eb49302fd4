//! Files of endpoints: read when they change, and left as they were when they are not in order.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{runtime::Handle, sync::Notify};
use weir_config::{checked::Cluster, load_endpoints};

use super::listing::{Listing, Task};
use crate::files::{Seen, Watch};

/// Problems of a file that are told at once.
const TOLD: usize = 5;

/// Reads a cluster's file and follows it from then on.
pub(super) fn follow(
    path: &Path,
    cluster: Arc<Cluster>,
    listing: Listing,
    files: Arc<Files>,
    handle: &Handle,
) -> Result<Task, String> {
    let seen = Seen::now([path.to_owned()]);
    let listed = load_endpoints(path, &cluster).map_err(|report| told(&report))?;
    let listing = listing.of(&listed, handle);
    let changed = files.register(path);
    let follower = Follower { path: path.to_owned(), cluster, listing, seen, handle: handle.clone() };
    Ok(Task::spawn(handle, follower.run(changed)))
}

struct Follower {
    path: PathBuf,
    cluster: Arc<Cluster>,
    listing: Listing,
    seen: Seen,
    handle: Handle,
}

impl Follower {
    async fn run(mut self, changed: Arc<Notify>) {
        let part: Arc<str> = self.path.display().to_string().into();
        loop {
            changed.notified().await;
            let now = self.seen.again();
            if now == self.seen {
                continue;
            }
            self.seen = now;
            match load_endpoints(&self.path, &self.cluster) {
                Ok(listed) => {
                    self.listing.change_to(&listed, &self.handle);
                    self.listing.board.remove(&part);
                }
                Err(report) => self.listing.board.fail(&part, told(&report)),
            }
        }
    }
}

/// Without lines of the file.
fn told(report: &weir_config::Report) -> String {
    let problems: Vec<String> = report.problems().iter().take(TOLD).map(ToString::to_string).collect();
    let more = match report.problems().len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}: {}{more}", report.name(), problems.join("; "))
}

/// The files of all clusters, under one watch: the system has few of them to give.
#[derive(Default)]
pub(super) struct Files {
    wanted: Mutex<Vec<(PathBuf, Weak<Notify>)>>,
    others: Notify,
}

impl Files {
    /// What is told whenever this file may have changed.
    fn register(&self, path: &Path) -> Arc<Notify> {
        let changed = Arc::new(Notify::new());
        self.wanted().push((path.to_owned(), Arc::downgrade(&changed)));
        self.others.notify_one();
        changed
    }

    /// Watches, for as long as the process runs.
    pub(super) async fn watch(&self) {
        // Whoever has no files must not pay for a watch.
        self.others.notified().await;
        let mut watch = Watch::of_each();
        loop {
            let paths: Vec<PathBuf> = {
                let mut wanted = self.wanted();
                wanted.retain(|(_, changed)| changed.strong_count() > 0);
                wanted.iter().map(|(path, _)| path.clone()).collect()
            };
            watch.cover(Seen::now(paths));
            // Each compares with what it has read itself, so that nothing falls between reading and watching.
            self.wanted().iter().filter_map(|(_, changed)| changed.upgrade()).for_each(|c| c.notify_one());
            tokio::select! {
                () = self.others.notified() => {}
                () = watch.changed() => {}
            }
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Vec<(PathBuf, Weak<Notify>)>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
