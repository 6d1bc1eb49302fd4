//! The trait a filter implements, and the set of hooks it wants.

use serde::de::DeserializeOwned;

use crate::connection::{Connection, Verdict};
use crate::decision::Decision;
use crate::exchange::{Answer, Body, Outcome, Request, Response};
use crate::setup::Setup;

/// A filter. Put `#[weir_sdk::filter]` on the impl block: it exports the hooks that are written and
/// fills in [`Policy::HOOKS`] and [`Policy::Config`].
///
/// The proxy keeps one instance per worker (more when it must) and calls its hooks one at a time.
/// What must be shared between workers or survive a swap belongs in [`state`](crate::state).
pub trait Policy: Sized + 'static {
    /// The filter's `config` table. Written by the attribute.
    type Config: Config;

    /// The hooks this filter has. Written by the attribute.
    const HOOKS: Hooks;

    /// Called once in each instance, first. Declares with `setup` what the hooks will need; the error
    /// text goes to the operator, and the version running before keeps running.
    fn configure(config: Self::Config, setup: &mut Setup) -> Result<Self, String>;

    /// A connection arrived, and it is known who calls: before it goes to an endpoint, or before its first
    /// exchange. The only hook on listeners that carry no HTTP.
    fn on_connection(&mut self, connection: &Connection<'_>) -> Verdict {
        let _ = connection;
        Verdict::pass()
    }

    /// The head of a request arrived.
    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let _ = request;
        Decision::pass().into()
    }

    /// The body of a request arrived whole; nothing of it went upstream yet.
    fn on_request_body(&mut self, body: &Body<'_>) -> Decision {
        let _ = body;
        Decision::pass().into()
    }

    /// The answer to a question of this filter arrived.
    fn on_answer(&mut self, answer: &Answer<'_>) -> Decision {
        let _ = answer;
        Decision::pass().into()
    }

    /// The head of a response arrived from upstream, or was made by the proxy. May pass or answer.
    fn on_response(&mut self, response: &Response<'_>) -> Decision {
        let _ = response;
        Decision::pass().into()
    }

    /// The exchange is over. Called exactly once for each exchange whose `on_request` passed.
    fn on_complete(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }

    /// A file or address that config lists under the filter's `data` was read or has changed. Called
    /// for each entry before the first hook. After an error the data known before must stay in force.
    fn update(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        let _ = (name, content);
        Ok(())
    }
}

/// What a filter's `config` table is read into: any type that serde can deserialise, or [`NoConfig`].
pub trait Config: Sized {
    /// Reads the table, which comes as JSON. The error text goes to the operator.
    fn from_json(json: &str) -> Result<Self, String>;
}

impl<T: DeserializeOwned> Config for T {
    fn from_json(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }
}

/// For a filter that takes no configuration. It does without the JSON parser, most of a small filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoConfig;

impl Config for NoConfig {
    fn from_json(json: &str) -> Result<Self, String> {
        let inner = json.trim().trim_start_matches('{').trim_end_matches('}').trim();
        if inner.is_empty() || inner == "null" {
            return Ok(NoConfig);
        }
        Err("this filter takes no configuration".to_owned())
    }
}

/// A set of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks(u8);

impl Hooks {
    /// No hook.
    pub const NONE: Hooks = Hooks(0);
    /// `on_request`.
    pub const REQUEST: Hooks = Hooks(1);
    /// `on_request_body`.
    pub const REQUEST_BODY: Hooks = Hooks(2);
    /// `on_response`.
    pub const RESPONSE: Hooks = Hooks(4);
    /// `on_complete`.
    pub const COMPLETE: Hooks = Hooks(8);
    /// `on_answer`: follows from asking, not from the proxy's interest list.
    pub const ANSWER: Hooks = Hooks(16);
    /// `on_connection`.
    pub const CONNECTION: Hooks = Hooks(32);

    /// Both sets.
    pub const fn with(self, other: Hooks) -> Hooks {
        Hooks(self.0 | other.0)
    }

    /// This set less the other.
    pub const fn without(self, other: Hooks) -> Hooks {
        Hooks(self.0 & !other.0)
    }

    /// Whether every hook of the other set is in this one.
    pub const fn contains(self, other: Hooks) -> bool {
        self.0 & other.0 == other.0
    }

    /// As the contract's `hooks` flags, which do not name `answer`.
    #[cfg(target_family = "wasm")]
    pub(crate) const fn contract_bits(self) -> u8 {
        self.0 & 0b1111 | (self.0 & Hooks::CONNECTION.0) >> 1
    }
}
