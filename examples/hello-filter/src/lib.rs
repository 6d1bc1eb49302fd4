//! Says hello at /hello, turns away agents that config bans, and marks what it lets pass.

use std::rc::Rc;

use serde::Deserialize;
use weir_sdk::{Decision, Field, Metric, Policy, Request, Response, Setup};

/// The filter's `config` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Said before the caller's agent, and sent along in `x-greeting`.
    greeting: String,
    /// Beginnings of `user-agent` that are refused.
    #[serde(default)]
    banned: Vec<String>,
}

/// One instance; each worker of the proxy has its own.
pub struct Hello {
    greeting: Rc<str>,
    banned: Vec<String>,
    path: Field,
    agent: Field,
    greeted: Metric,
}

#[weir_sdk::filter]
impl Policy for Hello {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        if config.greeting.chars().any(char::is_control) {
            return Err("greeting: a control character cannot be sent in a field".to_owned());
        }
        Ok(Hello {
            greeting: config.greeting.into(),
            banned: config.banned,
            path: setup.request(":path"),
            agent: setup.request("user-agent"),
            greeted: Metric::named("greeted", "Callers that were greeted."),
        })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let agent = request.text(self.agent).unwrap_or("stranger");
        if self.banned.iter().any(|banned| agent.starts_with(&**banned)) {
            return Decision::answer(403).reason("banned_agent").into();
        }
        if request.text(self.path) == Some("/hello") {
            self.greeted.increment();
            let text = format!("{}, {agent}!\n", self.greeting);
            return Decision::answer(200)
                .header("content-type", "text/plain")
                .body(text)
                .reason("hello")
                .into();
        }
        Decision::pass().set("x-greeting", &self.greeting).into()
    }

    fn on_response(&mut self, _: &Response<'_>) -> Decision {
        Decision::pass().set("x-filtered-by", "hello").into()
    }
}
