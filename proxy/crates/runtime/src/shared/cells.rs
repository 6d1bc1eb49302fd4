//! Numbers shared by all instances: found by name once, then used by position without a lock.

use std::{
    collections::HashMap,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

/// As the contract says.
pub(crate) const MAX_CELLS: usize = 4096;
const CHUNK: usize = 64;
const MAX_NAME_BYTES: usize = 256;

/// On a cache line of its own: workers hammer different cells at the same time.
#[derive(Default)]
#[repr(align(64))]
struct Cell(AtomicI64);

/// Grows by chunks that never move, so that a position can be used without asking the names.
pub(crate) struct Cells {
    names: Mutex<HashMap<Box<str>, u32>>,
    chunks: [OnceLock<Box<[Cell; CHUNK]>>; MAX_CELLS / CHUNK],
}

impl Default for Cells {
    fn default() -> Self {
        Self { names: Mutex::default(), chunks: [const { OnceLock::new() }; MAX_CELLS / CHUNK] }
    }
}

impl Cells {
    /// The position of a cell, made with 0 if it is new; the error says which bound was hit.
    pub(crate) fn find(&self, name: &str) -> Result<u32, String> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = names.get(name) {
            return Ok(*position);
        }
        if names.len() >= MAX_CELLS {
            return Err(format!("more than {MAX_CELLS} cells"));
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(format!("a cell's name longer than {MAX_NAME_BYTES} bytes"));
        }
        let next = names.len();
        self.chunks[next / CHUNK].get_or_init(|| Box::new([const { Cell(AtomicI64::new(0)) }; CHUNK]));
        let position = u32::try_from(next).map_err(|error| error.to_string())?;
        names.insert(name.into(), position);
        Ok(position)
    }

    /// What a cell of this name holds; it is not made.
    pub(crate) fn peek(&self, name: &str) -> Option<i64> {
        let position = *self.names.lock().unwrap_or_else(PoisonError::into_inner).get(name)?;
        self.at(position).map(|cell| cell.load(Ordering::Relaxed))
    }

    /// The cell at a position that `find` gave out. A position nobody was given may work too: it is a
    /// number of the same filter, which is all that is protected here.
    #[inline]
    pub(crate) fn at(&self, position: u32) -> Option<&AtomicI64> {
        let position = position as usize;
        let chunk = self.chunks.get(position / CHUNK)?.get()?;
        Some(&chunk[position % CHUNK].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_name_has_one_position() {
        let cells = Cells::default();
        let first = cells.find("a").unwrap();
        let second = cells.find("b").unwrap();
        assert_ne!(first, second);
        assert_eq!(cells.find("a"), Ok(first));
        cells.at(first).unwrap().fetch_add(5, Relaxed);
        assert_eq!(cells.at(first).unwrap().load(Relaxed), 5);
        assert_eq!(cells.at(second).unwrap().load(Relaxed), 0);
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let cells = Cells::default();
        for i in 0..MAX_CELLS {
            cells.find(&i.to_string()).unwrap();
        }
        assert!(cells.find("one more").is_err());
        assert_eq!(cells.find("17"), Ok(17));
        assert!(cells.at(4095).is_some());
        assert!(cells.at(4096).is_none() && cells.at(u32::MAX).is_none());
    }
}
