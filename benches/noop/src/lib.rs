//! A filter that does nothing: what it costs is what a crossing costs.

use serde::Deserialize;
use weir_sdk::{Decision, Policy, Request, Setup};

/// Nothing to configure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// See the module.
#[derive(Debug)]
pub struct Noop;

#[weir_sdk::filter]
impl Policy for Noop {
    fn configure(_config: Config, _setup: &mut Setup) -> Result<Self, String> {
        Ok(Self)
    }

    fn on_request(&mut self, _request: &Request<'_>) -> Decision {
        Decision::pass().into()
    }
}
