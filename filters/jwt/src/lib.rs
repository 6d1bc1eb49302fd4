//! Lets in who carries a valid JSON Web Token (RFC 7519, RFC 6750), and says who that is.
//!
//! The path of a token: found in the request (`source`), taken apart (`token`, `json`), its signature
//! checked natively with a key that fits (`algorithm`, `keys`), its claims held against the rules
//! (`claims`, `require`), and told on (`mapping`). What does not pass is answered (`refusal`).
//! Nothing is read from the claims before the signature is right.

mod algorithm;
mod claims;
mod config;
mod json;
mod keys;
mod mapping;
mod refusal;
mod require;
mod source;
mod token;

use std::time::Duration;

use weir_sdk::{Decision, Metric, Passage, Policy, Request, Setup};

pub use config::Config;

use crate::algorithm::Algorithm;
use crate::claims::Rules;
use crate::keys::KeySet;
use crate::mapping::Mapping;
use crate::refusal::{Challenge, Refusal};
use crate::source::{Found, Sources};
use crate::token::Token;

/// The filter.
pub struct Jwt {
    sources: Sources,
    keys: KeySet,
    allowed: Vec<Algorithm>,
    rules: Rules,
    mapping: Mapping,
    challenge: Challenge,
    optional: bool,
    remember: Duration,
    checked: Metric,
}

/// A token whose signature and claims are right.
struct Accepted {
    claims: json::Object,
    valid_for: Duration,
}

#[weir_sdk::filter]
impl Policy for Jwt {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        let sources = Sources::new(&config.token.0, config.forward, setup)?;
        Ok(Jwt {
            mapping: Mapping::new(&config, &sources)?,
            rules: Rules::new(&config)?,
            allowed: Algorithm::allowed(config.algorithms.as_deref())?,
            keys: KeySet::new(config.inline_keys()?)?,
            challenge: Challenge::new(config.realm.as_deref().unwrap_or(setup.filter()), &config)?,
            optional: config.optional,
            remember: config.remember.0,
            checked: Metric::named("signatures_checked", "Signatures checked natively."),
            sources,
        })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        match self.sources.find(request) {
            Err(refusal) => self.challenge.reply(refusal),
            Ok(None) if self.optional => self.mapping.strip(Decision::pass()).keep(self.remember).into(),
            Ok(None) => self.challenge.reply(Refusal::Missing),
            Ok(Some(found)) => self.decide(request, &found),
        }
    }

    fn update(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        if name != "jwks" {
            return Err(format!("data \"{name}\" is not known; the key set's name is \"jwks\""));
        }
        self.keys.replace(content)
    }
}

impl Jwt {
    fn decide(&self, request: &Request<'_>, found: &Found<'_>) -> Decision {
        match self.verify(found.token).and_then(|accepted| self.admit(request, found, &accepted)) {
            Ok(passage) => passage.into(),
            Err(refusal) => self.challenge.reply(refusal),
        }
    }

    fn verify(&self, text: &str) -> Result<Accepted, Refusal> {
        let token = Token::parse(text)?;
        let algorithm = Algorithm::named(&token.header.alg)
            .filter(|algorithm| self.allowed.contains(algorithm))
            .ok_or(Refusal::Algorithm)?;
        self.rules.check_type(token.header.typ.as_deref())?;
        self.check_signature(&token, algorithm)?;
        let claims = token.claims()?;
        let now_ms = weir_sdk::now_ms();
        let until_ms = self.rules.check(&claims, now_ms)?;
        Ok(Accepted { claims, valid_for: Duration::from_millis(until_ms.saturating_sub(now_ms)) })
    }

    fn check_signature(&self, token: &Token<'_>, algorithm: Algorithm) -> Result<(), Refusal> {
        let mut tried = 0;
        for key in self.keys.fitting(algorithm, token.header.kid.as_deref()) {
            tried += 1;
            if key.verify(algorithm.name(), token.signed, &token.signature) {
                self.checked.add(tried);
                return Ok(());
            }
        }
        if tried == 0 {
            return Err(Refusal::NoKeys);
        }
        self.checked.add(tried);
        Err(Refusal::Signature)
    }

    fn admit(
        &self,
        request: &Request<'_>,
        found: &Found<'_>,
        accepted: &Accepted,
    ) -> Result<Passage, Refusal> {
        let passage = self.sources.conceal(request, found, Decision::pass());
        let passage = self.mapping.tell(&accepted.claims, passage)?;
        Ok(passage.keep(self.remember.min(accepted.valid_for)))
    }
}
