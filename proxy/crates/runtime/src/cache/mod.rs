//! Compiled code on disk, so that a start or a swap need not compile again.
//!
//! Compiled code is machine code: whoever can write it runs as the proxy. So the folder must belong to
//! the user of this process and be closed to everybody else, every file carries a digest of itself, and
//! a file that is not exactly what was written is compiled anew.
//!
//! A file is `code | notes | length of the notes | sha256 of all that | MAGIC`, named after the digest of the
//! original bytes and of everything that the code depends on: wasmtime's version, the processor's features, the
//! settings. The notes say what was known of the filter when it was compiled.

mod code;
mod notes;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::SystemTime,
};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

pub(crate) use notes::Kept;
use notes::Notes;

/// Ends a file; a change of the layout changes it.
const MAGIC: &[u8; 8] = b"weircwB1";
const DIGEST_BYTES: usize = 32;
const TRAILER_BYTES: usize = DIGEST_BYTES + MAGIC.len();
/// The oldest go when there are more.
const MAX_FILES: usize = 256;
const EXTENSION: &str = "cwasm";

/// A folder of compiled filters.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Of the engine and this crate.
    compatibility: u64,
}

impl Cache {
    /// Makes the folder if need be. None, with a warning, if it cannot be trusted or used.
    pub(crate) fn open(folder: &Path, engine: &Engine, direct: bool) -> Option<Self> {
        if let Err(reason) = prepare(folder) {
            tracing::warn!(folder = %folder.display(), reason, "compiled filters are not cached");
            return None;
        }
        Some(Self { folder: folder.to_owned(), compatibility: compatibility(engine, direct) })
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The code compiled from the bytes with this digest, if it is here and whole.
    pub(crate) fn take(&self, original: &[u8; 32], engine: &Engine) -> Option<Kept> {
        let path = self.path(original);
        let notes = match verify(&path) {
            Ok(notes) => notes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled anew: the cached code is damaged");
                _ = fs::remove_file(&path);
                return None;
            }
        };
        match notes.with_code(|plan| code::map(engine, &path, plan)) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled anew: the cached code does not load");
                _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Writes code for the next start. A failure costs only that.
    pub(crate) fn keep(&self, original: &[u8; 32], kept: &Kept) {
        let written = kept
            .serialize()
            .and_then(|whole| write_whole(&self.path(original), &whole))
            .and_then(|()| self.drop_oldest());
        if let Err(error) = written {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code was not cached");
        }
    }

    fn path(&self, original: &[u8; 32]) -> PathBuf {
        let digest: String = original.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{digest}-{:016x}.{EXTENSION}", self.compatibility))
    }

    fn drop_oldest(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|e| e == EXTENSION) {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        files.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// A folder for the time it takes to hand over what another process compiled.
pub(crate) struct Passing(Cache);

impl Passing {
    pub(crate) fn make(engine: &Engine) -> Option<Self> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).ok()?;
        let name = format!("weir-{}-{:016x}", std::process::id(), u64::from_ne_bytes(number));
        let folder = std::env::temp_dir().join(name);
        // Nobody else's: it must not exist yet.
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.ok().and_then(|()| Cache::open(&folder, engine, true)).map(Self)
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0.folder);
    }
}

/// The folder exists, is ours and nobody else may enter it.
fn prepare(folder: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| format!("cannot make it: {error}"))?;
    let is = fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
    if !is.is_dir() {
        return Err("it is no folder, or a link to one".to_owned());
    }
    private(&is)
}

fn private(is: &fs::Metadata) -> Result<(), String> {
    if is.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("it belongs to user {}", is.uid()));
    }
    if is.mode() & 0o077 != 0 {
        return Err(format!("others may use it (mode {:o})", is.mode() & 0o777));
    }
    Ok(())
}

fn compatibility(engine: &Engine, direct: bool) -> u64 {
    let mut hasher = ShaHasher(Sha256::new());
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    MAGIC.hash(&mut hasher);
    direct.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// A hasher whose results stay the same from one build to the next.
struct ShaHasher(Sha256);

impl Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.clone().finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

/// The file is ours and is what was written. Read in pieces: it need not be in memory to be trusted.
fn verify(path: &Path) -> io::Result<Notes> {
    let mut file = File::open(path)?;
    let is = file.metadata()?;
    private(&is).map_err(io::Error::other)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its digest does not match");
    let length = is.len().checked_sub(TRAILER_BYTES as u64).ok_or_else(damaged)?;
    let mut digest = Sha256::new();
    let copied = io::copy(&mut (&file).take(length), &mut digest)?;
    let mut trailer = Vec::with_capacity(TRAILER_BYTES);
    (&file).take(TRAILER_BYTES as u64 + 1).read_to_end(&mut trailer)?;
    if copied != length || trailer != trailer_of(digest) {
        return Err(damaged());
    }
    file.seek(SeekFrom::Start(0))?;
    Notes::read(&mut file, length)
}

fn trailer_of(code: Sha256) -> Vec<u8> {
    let mut trailer = code.finalize().to_vec();
    trailer.extend_from_slice(MAGIC);
    trailer
}

/// Under another name first: nobody ever sees half a file.
fn write_whole(path: &Path, code: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = format!("{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Relaxed));
    let temporary = path.with_extension(unique);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file
        .write_all(code)
        .and_then(|()| file.write_all(&trailer_of(Sha256::new_with_prefix(code))))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        _ = fs::remove_file(&temporary);
    }
    written
}
