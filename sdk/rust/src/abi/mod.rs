//! The proxy's side of a filter on WebAssembly: the contract in the canonical ABI, by hand.
//!
//! By hand because this is the path of every exchange: values arrive in an arena that costs no
//! allocation, a decision is lowered in place and lives until the next call, so no `post-return` is
//! crossed and nothing is copied twice. Generated bindings allocate for each string either way.
//! Layouts are those of the component model's canonical ABI (CanonicalABI.md, "Alignment", "Element
//! size", "Flattening"); `raw` states them and checks their sizes.
//!
//! `entry` is what the attribute's exports call, `imports` what a filter calls, `arena` where the
//! proxy puts values, `lower` how decisions go back.
//!
//! This is the one place of the SDK where `unsafe` stands: pointers and lengths come from the proxy,
//! which the component model obliges to pass ranges it was given by `realloc` before.

#![allow(unsafe_code)]
#![allow(missing_docs)] // not for authors: the attribute's side of the exports
#![allow(clippy::too_many_arguments, clippy::missing_safety_doc)] // the contract's, flattened

mod arena;
mod entry;
pub(crate) mod imports;
mod lower;
mod raw;

use std::cell::{RefCell, UnsafeCell};

pub use arena::realloc;
pub use entry::{
    configure, on_answer, on_complete, on_connection, on_request, on_request_body, on_response, outcome,
    update,
};
pub(crate) use lower::Laid;
pub use raw::{RawConnection, RawPair};

/// Holds the filter of this instance.
pub struct Slot<P>(RefCell<Option<P>>);

// SAFETY: an instance runs on one thread at a time and has no threads of its own.
unsafe impl<P> Sync for Slot<P> {}

impl<P> Slot<P> {
    #[allow(clippy::new_without_default)] // for a `static`
    pub const fn new() -> Self {
        Slot(RefCell::new(None))
    }

    fn fill(&self, filter: P) {
        *self.0.borrow_mut() = Some(filter);
    }

    /// Traps if the filter was not configured: the contract promises that it was.
    fn with<T>(&self, call: impl FnOnce(&mut P) -> T) -> T {
        match self.0.borrow_mut().as_mut() {
            Some(filter) => call(filter),
            None => core::arch::wasm32::unreachable(),
        }
    }
}

/// A static that only the running hook touches.
struct Single<T>(UnsafeCell<T>);

// SAFETY: as for `Slot`.
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    const fn new(value: T) -> Self {
        Single(UnsafeCell::new(value))
    }

    /// The value. The caller holds no other reference into it: the component model forbids to enter an
    /// instance again while it runs, and no function here calls back while it holds one.
    #[allow(clippy::mut_from_ref)]
    unsafe fn get(&self) -> &mut T {
        unsafe { &mut *self.0.get() }
    }
}
