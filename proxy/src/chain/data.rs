//! Data that config lists for a filter: what was read last, and which of it an instance has seen.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

/// Bytes of one entry. More than that is a mistake, or not meant for one instance of a filter.
pub const DATA_LARGEST: usize = 16 * 1024 * 1024;

/// Reads a file of data whole, up to [`DATA_LARGEST`].
pub fn read_data(path: &Path) -> Result<Arc<[u8]>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(DATA_LARGEST as u64 + 1).read_to_end(&mut content))
        .map_err(told)?;
    if content.len() > DATA_LARGEST {
        return Err(format!("{}: longer than {DATA_LARGEST} bytes", path.display()));
    }
    Ok(content.into())
}

/// One entry of a filter's `data`.
#[derive(Debug, Clone)]
pub struct DataEntry {
    /// The name in config.
    pub name: Arc<str>,
    /// What was read.
    pub content: Arc<[u8]>,
    /// The version of the set when it changed last.
    pub version: u64,
}

/// The data of one generation of a filter, shared by its instances on all workers.
#[derive(Debug, Default)]
pub struct DataSet {
    version: AtomicU64,
    entries: ArcSwap<Vec<DataEntry>>,
}

impl DataSet {
    /// The version of the newest change; 0 = nothing was read yet. One load.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What was read last under a name.
    pub fn content(&self, name: &str) -> Option<Arc<[u8]>> {
        self.entries.load().iter().find(|e| *e.name == *name).map(|e| Arc::clone(&e.content))
    }

    /// All entries that changed after `version`.
    pub fn since(&self, version: u64) -> Vec<DataEntry> {
        self.entries.load().iter().filter(|e| e.version > version).cloned().collect()
    }

    /// Takes new content in. False if it is what was there. Called by the control side alone.
    pub fn put(&self, name: &Arc<str>, content: Arc<[u8]>) -> bool {
        let mut entries = Vec::clone(&self.entries.load());
        if entries.iter().any(|e| e.name == *name && e.content == content) {
            return false;
        }
        let version = self.version() + 1;
        entries.retain(|e| e.name != *name);
        entries.push(DataEntry { name: Arc::clone(name), content, version });
        self.entries.store(Arc::new(entries));
        self.version.store(version, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_shown_again() {
        let data = DataSet::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(data.put(&a, Arc::from(*b"1")) && data.put(&b, Arc::from(*b"2")));
        let seen = data.version();
        assert_eq!(data.since(0).len(), 2);
        assert!(!data.put(&a, Arc::from(*b"1")));
        assert_eq!(data.version(), seen);
        assert!(data.put(&a, Arc::from(*b"3")));
        let news = data.since(seen);
        assert_eq!(news.len(), 1);
        assert_eq!((&*news[0].name, &*news[0].content), ("a", &b"3"[..]));
    }
}
