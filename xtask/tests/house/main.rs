//! The rules of the house, kept by tests: who may import whom, and how files look.
//!
//! They read the source as text and need nothing built, so they stand with the chores and answer in a moment:
//! `cargo test -p xtask`.

mod conventions;
mod documents;
mod layers;
mod source;
