//! HTTP: the codecs and what they fill in.

pub mod fields;
pub mod h1;
pub mod head;
pub mod known;
mod syntax;
pub mod target;
