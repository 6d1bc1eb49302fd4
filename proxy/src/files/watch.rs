//! [`Watch`]: waits until one of the files it covers is not what was seen of it.
//!
//! The system wakes it when something happens to a name on the way to a file; whether it concerns the file is
//! then looked up. A log written beside the configuration costs next to nothing. Where the system does
//! not tell - network file systems, some container mounts - a look every few seconds finds the change.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{ModifyKind, RenameMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use super::{Seen, seen::Way};

/// How often files are looked at when nothing was told.
const LOOK: Duration = Duration::from_secs(5);
/// A file may be written in pieces, and a certificate without its key: nothing must have changed for this
/// long.
const QUIET: Duration = Duration::from_millis(50);
/// How long quiet is waited for: what never rests is read as it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// Renamed files that are remembered.
const ARRIVALS: usize = 16;

/// Watches files.
#[derive(Debug)]
pub struct Watch {
    /// The one that names all others; none: each file stands for itself.
    principal: Option<PathBuf>,
    /// None: the system tells nothing.
    notifier: Option<RecommendedWatcher>,
    told: Arc<Told>,
    folders: BTreeSet<PathBuf>,
    seen: Seen,
}

/// What the system tells.
#[derive(Debug, Default)]
struct Told {
    something: Notify,
    /// What happens to other names concerns nobody: an access log may be written beside the configuration.
    names: Mutex<BTreeSet<OsString>>,
    /// Where files were renamed to, the latest last.
    arrivals: Mutex<VecDeque<PathBuf>>,
}

impl Told {
    fn take(&self, event: notify::Event) {
        if event.kind.is_access() || !self.concerns(&event) {
            return;
        }
        if let EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) = event.kind {
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            if arrivals.len() == ARRIVALS {
                arrivals.pop_front();
            }
            arrivals.extend(event.paths.into_iter().next_back());
        }
        self.something.notify_one();
    }

    /// An event without a path may be about anything.
    fn concerns(&self, event: &notify::Event) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |path: &PathBuf| path.file_name().is_none_or(|name| names.contains(name));
        event.paths.is_empty() || event.paths.iter().any(known)
    }

    fn arrivals(&self) -> Vec<PathBuf> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Watch {
    /// Watches nothing yet. All other files are named by this one.
    pub fn new(principal: PathBuf) -> Self {
        Self::of(Some(principal))
    }

    /// Watches nothing yet. No file has to do with another.
    pub fn of_each() -> Self {
        Self::of(None)
    }

    fn of(principal: Option<PathBuf>) -> Self {
        let told = Arc::new(Told::default());
        let tell = Arc::clone(&told);
        let notifier = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event {
                tell.take(event);
            }
        });
        let notifier = notifier
            .inspect_err(|error| tracing::warn!(%error, "changed files are noticed late, by looking"))
            .ok();
        Self { principal, notifier, told, folders: BTreeSet::new(), seen: Seen::default() }
    }

    /// Watches these files from now on, and no others; they changed if they are not as they were seen here.
    pub fn cover(&mut self, seen: Seen) {
        let Way { folders, names } = seen.way();
        *self.told.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        self.seen = seen;
        let Some(notifier) = &mut self.notifier else { return };
        for gone in self.folders.difference(&folders) {
            // A folder that was removed is not watched any more anyway.
            let _ = notifier.unwatch(gone);
        }
        // The old ones too: a folder may have been replaced by another of its name.
        for folder in &folders {
            if let Err(error) = notifier.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, folder = %folder.display(), "changes here are found by looking");
            }
        }
        self.folders = folders;
    }

    /// Waits until a file has changed and rests again. May be given up at any point and called anew.
    pub async fn changed(&mut self) {
        let changed = loop {
            let now = self.seen.again();
            if now != self.seen {
                break now;
            }
            let _ = timeout(LOOK, self.told.something.notified()).await;
        };
        let settled = self.settled(changed).await;
        // The links on the way may lead elsewhere now.
        self.cover(settled);
    }

    /// The files once they rest; at once, if there is nothing to wait for.
    async fn settled(&self, mut last: Seen) -> Seen {
        let ends = Instant::now() + PATIENCE;
        let mut quiet = Instant::now() + QUIET;
        while Instant::now() < ends && !self.is_whole(&last) {
            // Of a rename it may be told a moment later what was renamed.
            if timeout_at(quiet, self.told.something.notified()).await.is_ok() {
                continue;
            }
            let now = self.seen.again();
            if now == last {
                break;
            }
            last = now;
            quiet = Instant::now() + QUIET;
        }
        last
    }

    /// What changed was renamed into its place: nobody renames half a file. If there is a principal, only it may
    /// have: of the others nothing can be said, since a key may follow its certificate.
    fn is_whole(&self, now: &Seen) -> bool {
        let Some(changed) = now.unlike(&self.seen).filter(|changed| !changed.is_empty()) else {
            return false;
        };
        let may = |path: &Path| self.principal.as_deref().is_none_or(|principal| principal == path);
        let arrivals = self.told.arrivals();
        changed.iter().all(|path| may(path) && arrivals.iter().any(|arrival| now.shows(path, arrival)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};
    use weir_testkit::within;

    #[tokio::test]
    async fn a_replaced_file_is_noticed_and_its_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("weir.toml"), "1").unwrap();
        let mut watch = Watch::new(at("weir.toml"));
        watch.cover(Seen::now([at("weir.toml")]));
        fs::write(at("access.log"), "line").unwrap();
        fs::write(at("draft"), "2").unwrap();
        fs::rename(at("draft"), at("weir.toml")).unwrap();
        within("the change", watch.changed()).await.unwrap();
        // What was found is what is there: nothing is left to be noticed.
        assert_eq!(watch.seen, watch.seen.again());
    }

    #[tokio::test]
    async fn a_change_before_it_was_covered_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weir.toml");
        let seen = Seen::now([file.clone()]);
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(file);
        watch.cover(seen);
        within("the change", watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_link_that_leads_elsewhere_is_noticed_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let publish = |version: &str| {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("weir.toml"), version).unwrap();
            symlink(version, at("..data_new")).unwrap();
            fs::rename(at("..data_new"), at("..data")).unwrap();
        };
        publish("..1");
        symlink("..data/weir.toml", at("weir.toml")).unwrap();
        let mut watch = Watch::new(at("weir.toml"));
        watch.cover(Seen::now([at("weir.toml")]));
        for version in ["..2", "..3"] {
            publish(version);
            within("the change", watch.changed()).await.unwrap();
            assert_eq!(fs::read_to_string(at("weir.toml")).unwrap(), version);
        }
    }
    #[tokio::test]
    async fn only_a_principal_that_was_renamed_into_its_place_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = || [at("weir.toml"), at("cert.pem")];
        let replace = |name: &str, content: &str| {
            fs::write(at("draft"), content).unwrap();
            fs::rename(at("draft"), at(name)).unwrap();
        };
        files().iter().for_each(|file| fs::write(file, "1").unwrap());
        let mut watch = Watch::new(at("weir.toml"));
        watch.cover(Seen::now(files()));

        fs::write(at("weir.toml"), "written in place").unwrap();
        assert!(!watch.is_whole(&watch.seen.again()));
        watch.cover(Seen::now(files()));

        replace("weir.toml", "renamed");
        within("the rename", async {
            while !watch.is_whole(&watch.seen.again()) {
                watch.told.something.notified().await;
            }
        })
        .await
        .unwrap();

        // Another file makes it a change of more than one.
        replace("cert.pem", "renamed");
        assert!(!watch.is_whole(&watch.seen.again()));
        // Nor is what was written to after it was renamed.
        watch.cover(Seen::now(files()));
        fs::write(at("weir.toml"), "written in place again").unwrap();
        assert!(!watch.seen.again().shows(&at("weir.toml"), &at("draft")));
    }

    #[tokio::test]
    async fn of_files_that_have_nothing_to_do_with_each_other_each_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = || [at("one"), at("two")];
        files().iter().for_each(|file| fs::write(file, "1").unwrap());
        let mut watch = Watch::of_each();
        watch.cover(Seen::now(files()));
        assert!(!watch.is_whole(&watch.seen.again()), "nothing changed");
        fs::write(at("draft"), "2").unwrap();
        fs::rename(at("draft"), at("two")).unwrap();
        within("the rename", async {
            while !watch.is_whole(&watch.seen.again()) {
                watch.told.something.notified().await;
            }
        })
        .await
        .unwrap();
        fs::write(at("one"), "written in place").unwrap();
        assert!(!watch.is_whole(&watch.seen.again()));
        fs::remove_file(at("one")).unwrap();
        assert!(!watch.is_whole(&watch.seen.again()));
    }

    #[test]
    fn only_names_on_the_way_to_a_file_concern_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut watch = Watch::new(at("weir.toml"));
        watch.cover(Seen::now([at("weir.toml")]));
        let about = |path: PathBuf| notify::Event::new(EventKind::Any).add_path(path);
        assert!(watch.told.concerns(&about(at("weir.toml"))));
        assert!(!watch.told.concerns(&about(at("access.log"))));
        assert!(watch.told.concerns(&about(folder.path().to_owned())), "the folder itself may go");
        assert!(watch.told.concerns(&notify::Event::new(EventKind::Any)), "events may be lost");
    }
}
