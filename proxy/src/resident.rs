//! Memory in RAM: how much there is, and giving back what nobody needs. That is what the allocator keeps for later,
//! and parts of the program which ran once: the start, and each reload, pass through more code than all exchanges
//! after them, and the system keeps what was read mapped for as long as nobody else wants the memory.
//!
//! Apart, because `unsafe` is written here.
#![allow(unsafe_code, reason = "the system has no safe way to say this; the proof stands at the call")]

use std::{fs, io, path::Path};

use rustix::mm::{Advice, madvise};

/// Bytes of the process in RAM, and of its address space. None: the system does not tell.
pub fn memory() -> Option<(u64, u64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_ascii_whitespace().map(str::parse::<u64>);
    let (mapped, resident) = (pages.next()?.ok()?, pages.next()?.ok()?);
    let page = rustix::param::page_size() as u64;
    Some((resident * page, mapped * page))
}

/// Has the allocator give back to the system what this thread freed. Takes milliseconds if that is much.
pub fn collect() {
    // SAFETY: may be called by any thread at any time; only what is free is given back.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Unmaps the pages of the program and of its libraries, which are mapped again from the file as they are used.
/// Answers how many bytes were resident.
pub fn give_back() -> io::Result<usize> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/smaps")?;
    let mut resident = 0;
    for mapping in mappings(&maps).filter(|mapping| mapping.is_code_of(&program)) {
        // SAFETY: a private mapping of a file that may not be written to, and of which no page was ever written
        // to: every page is as in the file, and comes from there again at the next touch.
        unsafe { madvise(mapping.from as *mut _, mapping.len, Advice::LinuxDontNeed)? };
        resident += mapping.resident;
    }
    Ok(resident)
}

/// One entry of `smaps` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    from: usize,
    len: usize,
    permissions: &'a str,
    file: &'a str,
    resident: usize,
    /// Bytes that are not as in the file.
    own: Option<usize>,
}

impl Mapping<'_> {
    fn is_code_of(&self, program: &Path) -> bool {
        let written = self.permissions.contains('w') || self.own != Some(0);
        let library = || self.file.starts_with('/') && self.file.contains(".so");
        !written && self.permissions.ends_with('p') && (Path::new(self.file) == program || library())
    }
}

fn mappings(smaps: &str) -> impl Iterator<Item = Mapping<'_>> {
    let mut lines = smaps.lines().peekable();
    std::iter::from_fn(move || {
        let mut mapping = lines.find_map(headed)?;
        while let Some((name, kib)) = lines.peek().and_then(|line| counted(line)) {
            match name {
                "Rss" => mapping.resident = kib * 1024,
                "Anonymous" => mapping.own = Some(kib * 1024),
                _ => {}
            }
            lines.next();
        }
        Some(mapping)
    })
}

/// `55d0-55f0 r-xp 00000000 fe:00 1234    /usr/bin/weir`
fn headed(line: &str) -> Option<Mapping<'_>> {
    let mut words = line.splitn(6, ' ');
    let (from, to) = words.next()?.split_once('-')?;
    let (from, to) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
    let permissions = words.next()?;
    let file = words.nth(3)?.trim_start();
    Some(Mapping { from, len: to.checked_sub(from)?, permissions, file, resident: 0, own: None })
}

/// `Rss:        972 kB`, and what has no number.
fn counted(line: &str) -> Option<(&str, usize)> {
    let (name, rest) = line.split_once(':')?;
    let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    named.then(|| (name, rest.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f00-8f00 r-xp 00001000 fe:00 99    /usr/bin/weir
Size:                  4 kB
Rss:                   3 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
8f00-9f00 r--p 00002000 fe:00 99    /usr/bin/weir
Rss:                   4 kB
Anonymous:             4 kB
9f00-af00 rw-p 00000000 00:00 0 
Rss:                   4 kB
Anonymous:             4 kB
b000-c000 r-xp 00000000 fe:00 7     /usr/lib/libc.so.6
Rss:                   8 kB
Anonymous:             0 kB
c000-d000 r-xp 00000000 fe:00 8     /var/cache/weir/a.cwasm
Anonymous:             0 kB
d000-e000 r-xp 00000000 00:00 0     [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_code_that_is_as_in_its_file_is_given_back() {
        let code: Vec<_> = mappings(SMAPS).filter(|m| m.is_code_of(Path::new("/usr/bin/weir"))).collect();
        let found: Vec<_> = code.iter().map(|m| (m.from, m.len, m.file, m.resident)).collect();
        assert_eq!(
            found,
            [(0x7f00, 0x1000, "/usr/bin/weir", 3072), (0xb000, 0x1000, "/usr/lib/libc.so.6", 8192)]
        );
        assert_eq!(mappings(SMAPS).count(), 6);
    }

    #[test]
    fn the_program_goes_on_when_its_pages_are_gone() {
        assert!(give_back().unwrap() > 0);
        // Read again from the file, this very test included.
        assert!(give_back().unwrap() > 0);
    }
}
