//! The types of `weir:policy` as plain Rust: what hooks are shown and what they answer.
//!
//! They mirror `wit/policy.wit`, where each item is documented in full; here is only what a reader of
//! Rust code needs besides. Names, statuses and positions are as the guest gave them unless said.

mod connection;
mod wire;

use wasmtime::component::{ComponentType, Lift, Lower};

use crate::HookSet;

pub use connection::{Address, ConnectionView, Protocol, Verdict};
pub(crate) use wire::{Config, FormerHooks, Hooks, RawInterest, Seen};

/// The version of `weir:policy` that this crate speaks.
pub const VERSION: &str = "0.1.0";

/// One change to a message head. Legality of names and values is the proxy's to check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(variant)]
pub enum Edit {
    /// Replace every field of this name by one.
    #[component(name = "set")]
    Set((String, Vec<u8>)),
    /// Add one more field of this name.
    #[component(name = "append")]
    Append((String, Vec<u8>)),
    /// Remove every field of this name.
    #[component(name = "remove")]
    Remove(String),
}

/// Something the filter learned: seen by later filters as "@NAME", by the access log and by traces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(record)]
pub struct Fact {
    /// Without the "@".
    pub name: String,
    /// Any text.
    pub value: String,
}

/// Where and how to send the exchange; what is `None` keeps what an earlier filter said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(record)]
pub struct Route {
    /// Position in [`Interest::clusters`].
    pub cluster: Option<u32>,
    /// Labels an endpoint must carry.
    pub subset: Vec<(String, String)>,
    /// Path and query to send instead.
    pub path: Option<Vec<u8>>,
    /// Authority to send instead.
    pub authority: Option<String>,
    /// Milliseconds for the whole exchange.
    #[component(name = "timeout-ms")]
    pub timeout_ms: Option<u32>,
    /// Further attempts allowed.
    pub retries: Option<u8>,
    /// Key for consistent-hash balancers.
    pub hash: Option<u64>,
    /// Position in [`Interest::clusters`] of the cluster that gets a copy.
    pub mirror: Option<u32>,
    /// The metric label of this route.
    pub name: Option<String>,
}

/// Let the exchange go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(record)]
pub struct Passage {
    /// Changes to the head, in order.
    pub edits: Vec<Edit>,
    /// Ignored in `on-response`.
    pub route: Option<Route>,
    /// What the filter learned.
    pub facts: Vec<Fact>,
    /// Given back to later hooks of the same exchange.
    pub memo: u64,
    /// Milliseconds for which an equal view need not be asked again.
    #[component(name = "keep-ms")]
    pub keep_ms: u32,
    /// Milliseconds to wait before going on.
    #[component(name = "delay-ms")]
    pub delay_ms: u32,
}

/// Answer the caller without asking the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(record)]
pub struct Reply {
    /// 200 to 599: checked before it is handed out.
    pub status: u16,
    /// Fields of the response.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// One word for the access log.
    pub reason: String,
    /// As [`Passage::keep_ms`].
    #[component(name = "keep-ms")]
    pub keep_ms: u32,
}

/// A request that the proxy sends for the filter while the exchange waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(record)]
pub struct Question {
    /// Position in [`Interest::clusters`].
    pub cluster: u32,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Fields of the request; `host` sets the authority.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// Milliseconds to wait for the answer.
    #[component(name = "timeout-ms")]
    pub timeout_ms: u32,
    /// Given back to `on-answer`.
    pub memo: Vec<u8>,
}

/// What a hook answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(variant)]
pub enum Decision {
    /// Let the exchange go on.
    #[component(name = "pass")]
    Pass(Passage),
    /// Answer the caller.
    #[component(name = "answer")]
    Answer(Reply),
    /// Ask a cluster first.
    #[component(name = "ask")]
    Ask(Question),
}

/// A test on one value of the request, made without a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(record)]
pub struct Condition {
    /// As the names in [`Interest::request`].
    pub name: String,
    /// What must hold.
    pub test: Test,
}

/// See [`Condition`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, ComponentType, Lift)]
#[component(variant)]
pub enum Test {
    /// The value is there.
    #[component(name = "present")]
    Present,
    /// The value is not there.
    #[component(name = "absent")]
    Absent,
    /// The value is this.
    #[component(name = "equals")]
    Equals(String),
    /// The value begins with this.
    #[component(name = "starts-with")]
    StartsWith(String),
}

/// What `configure` says the filter wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    /// Hooks to call; each of them is exported.
    pub hooks: HookSet,
    /// Only exchanges that meet one of these are shown; empty: all.
    pub when: Vec<Condition>,
    /// Values of the request to show, by name.
    pub request: Vec<String>,
    /// Fields of the response to show, by name.
    pub response: Vec<String>,
    /// Clusters to route to or ask, by name.
    pub clusters: Vec<String>,
    /// Bytes of a body to show whole.
    pub body_limit: u32,
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Fields of the response.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no answer to a [`Question`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum AnswerFailure {
    /// No answer in time.
    #[component(name = "timeout")]
    Timeout,
    /// No endpoint could be reached.
    #[component(name = "unreachable")]
    Unreachable,
    /// A limit of the cluster, or the filter's grants, forbid the question.
    #[component(name = "refused")]
    Refused,
    /// The answer is longer than the filter's limit.
    #[component(name = "too-large")]
    TooLarge,
}

/// How an exchange ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Outcome {
    /// 0: the caller left before a response began.
    pub status: u16,
    /// Position in [`Interest::clusters`].
    pub cluster: Option<u32>,
    /// How often an endpoint was tried.
    pub attempts: u8,
    /// The response came from the proxy.
    pub local: bool,
    /// Either side broke off.
    pub aborted: bool,
    /// Microseconds of the whole exchange.
    #[component(name = "total-us")]
    pub total_us: u64,
    /// Microseconds from the last attempt to the head of its response.
    #[component(name = "upstream-us")]
    pub upstream_us: u64,
    /// Milliseconds of Unix time.
    #[component(name = "now-ms")]
    pub now_ms: u64,
}

/// Flags of `hooks` that were added to the contract after others had been built with it.
pub(crate) const ADDED_HOOKS: &[&str] = &["connection"];

/// The hooks of these bits, in the order in which the contract names them.
pub(crate) fn hooks_of(bits: u8) -> HookSet {
    let named =
        [HookSet::REQUEST, HookSet::REQUEST_BODY, HookSet::RESPONSE, HookSet::COMPLETE, HookSet::CONNECTION];
    let wanted = (0..).zip(named).filter(|(bit, _)| bits >> bit & 1 == 1);
    wanted.fold(HookSet::NONE, |set, (_, hook)| set.with(hook))
}
