//! What can go wrong in a filter, told so that the proxy can count it and the operator can act.

use wasmtime::{Trap, WasmBacktrace};

/// Why a filter gave no decision.
///
/// After any of these but [`Fault::Configure`] and [`Fault::NoRoom`], which are about an instance that
/// never came to be, the instance is unusable: the proxy drops it and makes a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest trapped by itself: a panic, an unreachable instruction, a memory access out of bounds,
    /// a stack overflow, or a call the contract forbids.
    #[error("trapped: {0}")]
    Trap(String),
    /// The hook ran longer than `limits.time`.
    #[error("ran out of time")]
    OutOfTime,
    /// The guest trapped after it was refused memory beyond `limits.memory`.
    #[error("ran out of memory")]
    OutOfMemory,
    /// The hook called the proxy more often than `limits.host_calls`.
    #[error("too many calls to the proxy in one hook")]
    TooManyHostCalls,
    /// The answer is no decision: bytes that break the canonical ABI, a list beyond the limit, a status
    /// that is none, a decision that the hook must not make.
    #[error("wrong answer: {0}")]
    WrongAnswer(String),
    /// `configure` refused; the text is the filter's own or says what the contract demands.
    #[error("configure: {0}")]
    Configure(String),
    /// The proxy has no room for one more instance.
    #[error("no room for an instance: {0}")]
    NoRoom(String),
    /// The instance faulted earlier.
    #[error("unusable after an earlier fault")]
    Poisoned,
}

impl Fault {
    /// One word for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::OutOfTime => "time",
            Self::OutOfMemory => "memory",
            Self::TooManyHostCalls => "host-calls",
            Self::WrongAnswer(_) => "wrong-answer",
            Self::Configure(_) => "configure",
            Self::NoRoom(_) => "no-room",
            Self::Poisoned => "poisoned",
        }
    }
}

/// A call that the contract forbids; ends the guest with this text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Forbidden(pub(crate) String);

/// The budget of host calls is used up.
#[derive(Debug, thiserror::Error)]
#[error("too many calls to the proxy in one hook")]
pub(crate) struct HostCallsUsedUp;

/// Sorts what wasmtime reported. `memory_refused` says whether growth was denied during the call.
pub(crate) fn classify(error: &wasmtime::Error, memory_refused: bool) -> Fault {
    if error.downcast_ref::<HostCallsUsedUp>().is_some() {
        return Fault::TooManyHostCalls;
    }
    if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
        return Fault::Trap(forbidden.0.clone());
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::Interrupt => Fault::OutOfTime,
            _ if memory_refused => Fault::OutOfMemory,
            _ => Fault::Trap(with_place(&trap.to_string(), error)),
        };
    }
    if memory_refused {
        return Fault::OutOfMemory;
    }
    Fault::WrongAnswer(error.root_cause().to_string())
}

/// The innermost functions, where the guest kept their names.
fn with_place(text: &str, error: &wasmtime::Error) -> String {
    const SHOWN: usize = 3;
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return text.to_owned() };
    let names: Vec<&str> = backtrace.frames().iter().filter_map(|f| f.func_name()).take(SHOWN).collect();
    if names.is_empty() { text.to_owned() } else { format!("{text} in {}", names.join(" < ")) }
}
