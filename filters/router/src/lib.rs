//! Routes.
use weir_sdk::{Decision, Policy, Request, Setup};

/// Nothing yet.
pub struct Router;

#[weir_sdk::filter]
impl Policy for Router {
    fn configure(_config: weir_sdk::NoConfig, _setup: &mut Setup) -> Result<Self, String> {
        Ok(Router)
    }

    fn on_request(&mut self, _request: &Request<'_>) -> Decision {
        Decision::pass().into()
    }
}
