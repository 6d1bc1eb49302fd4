//! [`Seen`]: files as they were at one moment, told apart without reading them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// Links that are followed for one path; Linux itself follows as many.
const LINKS: usize = 40;

/// Files, and which state each was in; links are followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Option<Stamp>>);

/// One state of a file. A file that is replaced is another inode, one that is written to has other times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let is = fs::metadata(path).ok()?;
        Some(Self {
            device: is.dev(),
            inode: is.ino(),
            size: is.size(),
            modified: (is.mtime(), is.mtime_nsec()),
            changed: (is.ctime(), is.ctime_nsec()),
        })
    }
}

impl Seen {
    /// Looks at these files now.
    pub fn now(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut seen = Self::default();
        seen.look(paths);
        seen
    }

    /// Looks at further files now; those that are here already stay as they were seen.
    pub fn look(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            self.0.entry(path).or_insert_with_key(|path| Stamp::of(path));
        }
    }

    /// The same files as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::now(self.0.keys().cloned())
    }

    /// Those of the same files that are not as in `other`. None: one of them is gone, or these are other files.
    pub(super) fn unlike(&self, other: &Self) -> Option<Vec<&Path>> {
        if !self.0.keys().eq(other.0.keys()) {
            return None;
        }
        let mut unlike = Vec::new();
        for ((path, now), before) in self.0.iter().zip(other.0.values()) {
            if now != before {
                now.as_ref()?;
                unlike.push(path.as_path());
            }
        }
        Some(unlike)
    }

    /// A file was seen in the state that another path leads to now.
    pub(super) fn shows(&self, path: &Path, other: &Path) -> bool {
        matches!(self.0.get(path), Some(Some(stamp)) if Stamp::of(other) == Some(*stamp))
    }

    /// Where a change may mean one of the files: on the way to it, and on the way of every link there.
    pub(super) fn way(&self) -> Way {
        let mut way = Way::default();
        for path in self.0.keys() {
            way.follow(path, LINKS);
        }
        way
    }
}

/// What leads to files.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Their own folders, and that of every link.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Their names, those of links, and those of folders.
    pub(super) names: BTreeSet<OsString>,
}

impl Way {
    fn follow(&mut self, path: &Path, links: usize) {
        let mut at = if path.is_absolute() { PathBuf::new() } else { PathBuf::from(".") };
        let mut components = path.components();
        while let Some(component) = components.next() {
            let folder = at.clone();
            at.push(component);
            let Component::Normal(name) = component else { continue };
            self.names.insert(name.to_owned());
            let Ok(target) = fs::read_link(&at) else { continue };
            self.folders.insert(folder.clone());
            if links > 0 {
                // What is behind the link, and the rest of the way from there.
                self.follow(&folder.join(target).join(components.as_path()), links - 1);
            }
            return;
        }
        self.folders.extend(at.parent().map(Path::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_change_is_seen_whichever_way_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let (file, draft) = (folder.path().join("a"), folder.path().join("b"));
        let before = Seen::now([file.clone()]);
        assert_eq!(before, before.again());
        fs::write(&file, "1").unwrap();
        let made = before.again();
        assert_ne!(before, made);
        fs::write(&draft, "2").unwrap();
        fs::rename(&draft, &file).unwrap();
        let replaced = made.again();
        assert_ne!(made, replaced);
        fs::write(&file, "longer").unwrap();
        assert_ne!(replaced, replaced.again());
        fs::remove_file(&file).unwrap();
        assert_eq!(before, replaced.again());
    }

    #[test]
    fn files_that_are_known_stay_as_they_were_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let mut seen = Seen::now([file.clone()]);
        fs::write(&file, "1").unwrap();
        seen.look([file]);
        assert_ne!(seen, seen.again());
    }

    #[test]
    fn every_link_on_the_way_is_watched() {
        // As Kubernetes mounts a ConfigMap: weir.toml -> ..data/weir.toml, ..data -> ..1.
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("..1")).unwrap();
        fs::write(at("..1/weir.toml"), "").unwrap();
        symlink("..1", at("..data")).unwrap();
        symlink("..data/weir.toml", at("weir.toml")).unwrap();
        let folders = Seen::now([at("weir.toml")]).way().folders;
        assert!(folders.contains(folder.path()), "{folders:?}");
        assert!(folders.contains(&at("..1")), "{folders:?}");

        symlink(at("round"), at("round")).unwrap();
        assert!(Seen::now([at("round")]).way().folders.contains(folder.path()));
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert!(Seen::now(["weir.toml".into()]).way().folders.contains(Path::new(".")));
    }
}
