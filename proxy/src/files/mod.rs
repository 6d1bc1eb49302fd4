//! Files that change while the proxy runs: what was seen of them, and waiting for that to be true no more.
//!
//! It stands apart from what is done about a change: the configuration's own files mean a reload
//! ([`crate::reload`]), a file of endpoints means new endpoints ([`crate::discovery`]). A file is known by what
//! `stat` says of it, taken before the file is read, so that no change falls between reading and watching.

mod seen;
mod watch;

pub use seen::Seen;
pub use watch::Watch;
