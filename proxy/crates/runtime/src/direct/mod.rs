//! The direct lane: a policy that is one core module is called as one.
//!
//! What Weir's SDK makes is a core module that imports and exports nothing but `weir:policy`. Run as a component,
//! every call of it goes through machinery that knows types only at run time; run as the core module it is, a call
//! costs a fraction. Nothing else may be different: the same files, the same limits, the same answers and the same
//! faults. So here the Component Model's canonical ABI is done by hand, for this one contract:
//!
//! - [`plan`] says whether a component qualifies, from how it is put together ([`layout`], [`shell`]) and from
//!   its functions' types ([`typed`]). What does not stays on the component lane.
//! - [`guest`] calls functions; [`lift`] and [`answers`] read what they answer, [`lower`] writes what they are
//!   shown; [`imports`] serves their calls to the proxy.
//!
//! Its source is `design/mvp/CanonicalABI.md` of <https://github.com/WebAssembly/component-model>; the sections are
//! named where they are followed. That both lanes are the same is tested in `tests/runtime/lanes`, with generated
//! inputs and answers.

mod answers;
mod guest;
mod imports;
mod layout;
mod lift;
mod lower;
mod plan;
mod shell;
mod typed;

pub(crate) use guest::Functions;
pub(crate) use imports::link;
pub(crate) use lower::Ties;
pub(crate) use plan::{Direct, Plan, find};
