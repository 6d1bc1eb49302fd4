//! Lets in who brings a known API key, and says whose it is.
//!
//! A key is found in the request (`place`), hashed by the proxy and looked up by its digest (`keys`);
//! whose it is goes to later filters and the origin (`telling`). Keys themselves are nowhere: config
//! and data hold SHA-256 digests, and what a caller brings is forgotten once hashed.

mod config;
mod keys;
mod place;
mod refusal;
mod telling;

use std::rc::Rc;
use std::time::Duration;

use weir_sdk::{Decision, Policy, Request, Setup};

pub use config::Config;

use crate::keys::{Client, Keys};
use crate::place::Source;
use crate::refusal::{Challenge, Refusal};
use crate::telling::Telling;

/// The filter.
pub struct ApiKey {
    source: Source,
    keys: Keys,
    telling: Telling,
    challenge: Challenge,
    optional: bool,
    remember: Duration,
}

#[weir_sdk::filter]
impl Policy for ApiKey {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        let source = Source::new(&config, setup)?;
        Ok(ApiKey {
            challenge: Challenge::new(&config, &source, setup.filter())?,
            telling: Telling::new(&config, &source)?,
            keys: Keys::new(&config.keys)?,
            optional: config.optional,
            remember: config.remember.0,
            source,
        })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        match self.source.find(request) {
            Err(refusal) => self.challenge.reply(refusal),
            Ok(None) if self.optional => self.telling.strip(Decision::pass()).keep(self.remember).into(),
            Ok(None) => self.challenge.reply(Refusal::Missing),
            Ok(Some(key)) => self.decide(request, key),
        }
    }

    fn update(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        if name != "keys" {
            return Err(format!("data \"{name}\" is not known; the table of keys is named \"keys\""));
        }
        self.keys.replace(content)
    }
}

impl ApiKey {
    fn decide(&self, request: &Request<'_>, key: &str) -> Decision {
        let client = match self.keys.find(key) {
            Some(client) => Rc::clone(client),
            None => return self.challenge.reply(Refusal::Unknown),
        };
        match self.holds(request, &client) {
            Ok(time) => {
                let passage = self.source.conceal(request, Decision::pass());
                self.telling.tell(&client, passage).keep(time).into()
            }
            Err(refusal) => self.challenge.reply(refusal),
        }
    }

    /// For how long the client may come in.
    fn holds(&self, request: &Request<'_>, client: &Client) -> Result<Duration, Refusal> {
        if !client.enabled {
            return Err(Refusal::Disabled);
        }
        let mut time = self.remember;
        if let Some(expires) = client.expires {
            let now_ms = weir_sdk::now_ms();
            if now_ms >= expires.unix_ms {
                return Err(Refusal::Expired);
            }
            time = time.min(Duration::from_millis(expires.unix_ms - now_ms));
        }
        if client.paths.is_empty() {
            return Ok(time);
        }
        // The path is not among the values shown, or every client would be remembered path by path.
        // So a verdict that depends on it must not be remembered at all.
        let path = request.value(":path").unwrap_or_default();
        if client.may_reach(&path) { Ok(Duration::ZERO) } else { Err(Refusal::Path) }
    }
}
