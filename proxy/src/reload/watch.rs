//! [`Watch`]: waits until one of the files it covers is not what was seen of it.
//!
//! The system wakes it when something happens in a folder on the way to a file; whether it concerns a file
//! is then looked up, so that a log written beside the configuration costs nothing. Where the system does
//! not tell - network file systems, some container mounts - a look every few seconds finds the change.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::Seen;

/// How often files are looked at when nothing was told.
const LOOK: Duration = Duration::from_secs(5);
/// A file may be written in pieces, and a certificate without its key: nothing must have changed for this
/// long.
const QUIET: Duration = Duration::from_millis(50);
/// How many times quiet is waited for: what never rests is read as it is.
const PATIENCE: usize = 20;

/// Watches files.
#[derive(Debug)]
pub struct Watch {
    /// None: the system tells nothing.
    notifier: Option<RecommendedWatcher>,
    told: Arc<Notify>,
    folders: BTreeSet<PathBuf>,
    seen: Seen,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Self {
        let told = Arc::new(Notify::new());
        let tell = Arc::clone(&told);
        let notifier = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                tell.notify_one();
            }
        });
        let notifier = notifier
            .inspect_err(|error| tracing::warn!(%error, "changed files are noticed late, by looking"))
            .ok();
        Self { notifier, told, folders: BTreeSet::new(), seen: Seen::default() }
    }

    /// Watches these files from now on, and no others; they changed if they are not as they were seen here.
    pub fn cover(&mut self, seen: Seen) {
        let folders = seen.folders();
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
        loop {
            let mut last = self.seen.again();
            if last == self.seen {
                let _ = tokio::time::timeout(LOOK, self.told.notified()).await;
                continue;
            }
            for _ in 0..PATIENCE {
                tokio::time::sleep(QUIET).await;
                let now = self.seen.again();
                if now == last {
                    break;
                }
                last = now;
            }
            // The links on the way may lead elsewhere now.
            return self.cover(last);
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
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
        let mut watch = Watch::new();
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
        let mut watch = Watch::new();
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
        let mut watch = Watch::new();
        watch.cover(Seen::now([at("weir.toml")]));
        for version in ["..2", "..3"] {
            publish(version);
            within("the change", watch.changed()).await.unwrap();
            assert_eq!(fs::read_to_string(at("weir.toml")).unwrap(), version);
        }
    }
}
