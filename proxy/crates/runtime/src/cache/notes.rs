//! What is kept beside compiled code: how it is called, and what its component is called by - things that the code
//! of a core module does not tell, and that would take making it a component again to learn.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use serde::{Deserialize, Serialize};

use crate::{Lane, direct, lane::Code};

/// Longer notes are a mistake.
const MAX_NOTES: u32 = 1 << 20;
const LENGTH_BYTES: usize = 4;

/// Compiled code and what is known of it.
pub(crate) struct Kept {
    pub(crate) code: Code,
    pub(crate) lane: Lane,
    /// Names of the component's imports.
    pub(crate) imports: Vec<String>,
    /// Names of the component's exports.
    pub(crate) exports: Vec<String>,
}

/// As they stand in a file: JSON, then its length.
#[derive(Serialize, Deserialize)]
pub(super) struct Notes {
    /// The error is the reason for the component lane.
    plan: Result<direct::Plan, String>,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Kept {
    /// The code with the notes behind it, where whoever maps the code does not look.
    pub(super) fn serialize(&self) -> io::Result<Vec<u8>> {
        let plan = match (&self.code, &self.lane) {
            (Code::Direct(_, plan), _) => Ok(plan.clone()),
            (Code::Component(_), Lane::Component(reason)) => Err(reason.clone()),
            (Code::Component(_), Lane::Direct) => Err(String::new()),
        };
        let notes = Notes { plan, imports: self.imports.clone(), exports: self.exports.clone() };
        let notes = serde_json::to_vec(&notes)?;
        let length = u32::try_from(notes.len()).map_err(io::Error::other)?;
        let mut whole = match &self.code {
            Code::Direct(module, _) => module.serialize(),
            Code::Component(component) => component.serialize(),
        }
        .map_err(io::Error::other)?;
        whole.extend_from_slice(&notes);
        whole.extend_from_slice(&length.to_le_bytes());
        Ok(whole)
    }
}

impl Notes {
    /// From a file whose code and notes end at `end`.
    pub(super) fn read(file: &mut File, end: u64) -> io::Result<Self> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "its notes are malformed");
        let at = end.checked_sub(LENGTH_BYTES as u64).ok_or_else(malformed)?;
        let mut length = [0; LENGTH_BYTES];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        let at = at.checked_sub(length.into()).filter(|_| length <= MAX_NOTES).ok_or_else(malformed)?;
        let mut notes = vec![0; length as usize];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut notes)?;
        Ok(serde_json::from_slice(&notes)?)
    }

    /// Joins the notes with their code, which `map` gets; without a plan it is a component's.
    pub(super) fn with_code(
        self,
        map: impl FnOnce(Option<direct::Plan>) -> wasmtime::Result<Code>,
    ) -> wasmtime::Result<Kept> {
        let Self { plan, imports, exports } = self;
        let (lane, plan) = match plan {
            Ok(plan) => (Lane::Direct, Some(plan)),
            Err(reason) => (Lane::Component(reason), None),
        };
        Ok(Kept { code: map(plan)?, lane, imports, exports })
    }
}
