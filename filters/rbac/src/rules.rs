//! All rules, and what they come to.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_sdk::{Decision, Field, Metric, Ready, Setup, Text};

use crate::config::{Config, RuleConfig};
use crate::rule::{Effect, Rule};
use crate::subject::{Known, Subject};

/// Rules with a counter of their own; the proxy gives a filter 64 counters. The others share one.
const COUNTED: usize = 56;
/// The fact that names the rule, for later filters and the access log.
const RULE: &str = "rbac.rule";
/// In place of a rule's name, where there is none.
const NO_RULE: &str = "no_rule";
/// Bytes of a rule's name; with what goes before it, a counter's has 64.
const NAME: usize = 48;
/// Rules of one filter.
const MOST: usize = 1_000;

pub(crate) struct Rules {
    deny: Vec<Rule>,
    allow: Vec<Rule>,
    unmatched: Unmatched,
    identity: Option<Field>,
}

/// What a request gets that no rule fits.
pub(crate) struct Unmatched {
    counter: Metric,
    decision: Ready,
}

/// What becomes of a request, or of a connection.
pub(crate) enum Judgement<'a> {
    Allowed(&'a Rule),
    Denied(&'a Rule),
    /// No rule allows it.
    Unmatched(&'a Unmatched),
}

impl Judgement<'_> {
    pub(crate) fn count(&self) {
        match self {
            Judgement::Allowed(rule) | Judgement::Denied(rule) => rule.counter.increment(),
            Judgement::Unmatched(none) => none.counter.increment(),
        }
    }

    /// Made when the filter was configured.
    pub(crate) fn decision(&self) -> Decision {
        match self {
            Judgement::Allowed(rule) | Judgement::Denied(rule) => (&rule.decision).into(),
            Judgement::Unmatched(none) => (&none.decision).into(),
        }
    }

    /// One word: the rule's name, or that there is none.
    pub(crate) fn reason(&self) -> Text {
        match self {
            Judgement::Allowed(rule) | Judgement::Denied(rule) => rule.name().clone(),
            Judgement::Unmatched(_) => NO_RULE.into(),
        }
    }
}

impl Rules {
    pub(crate) fn new(config: Config, setup: &mut Setup) -> Result<Self, String> {
        if config.deny.len() + config.allow.len() > MOST {
            return Err(format!("there are more than {MOST} rules"));
        }
        if config.allow.is_empty() && !config.audit {
            return Err(
                "there is no `allow` rule: everything would be denied. A rule with a name alone allows \
                        everything: allow = [{ name = \"all\" }]"
                    .to_owned(),
            );
        }
        if config.connection {
            about_connections(&config)?;
        }
        let asks_who = config.deny.iter().chain(&config.allow).any(|rule| rule.from.is_some());
        let keep = config.remember.0;
        let mut making = Making { names: BTreeSet::new(), keep, setup };
        let deny = making.all(config.deny, Effect::Deny)?;
        let allow = making.all(config.allow, Effect::Allow)?;
        let identity = asks_who.then(|| Known::Identity.ask(setup));
        let unmatched = Unmatched {
            counter: Metric::named("denied_by_no_rule", "Decisions to deny because no rule allows."),
            decision: Ready::new(Decision::answer(403).reason(NO_RULE).keep(keep)),
        };
        Ok(Rules { deny, allow, unmatched, identity })
    }

    pub(crate) fn judge(&self, subject: Subject<'_>) -> Judgement<'_> {
        if let Some(rule) = self.deny.iter().find(|rule| rule.fits(subject)) {
            return Judgement::Denied(rule);
        }
        match self.allow.iter().find(|rule| rule.fits(subject)) {
            Some(rule) => Judgement::Allowed(rule),
            None => Judgement::Unmatched(&self.unmatched),
        }
    }

    /// Who calls, for the log; never what else is in the request.
    pub(crate) fn told<'a>(&self, subject: Subject<'a>) -> &'a str {
        let identity = self.identity.and_then(|field| subject.text(Known::Identity, field));
        identity.unwrap_or("a caller without identity")
    }
}

/// Rules that say something of requests have nothing to go by.
fn about_connections(config: &Config) -> Result<(), String> {
    for rule in config.deny.iter().chain(&config.allow) {
        if let Some(key) = rule.about_requests() {
            return Err(format!(
                "the rule \"{}\" has `{key}`, which no connection has: with `connection` rules are about `from`, \
                 `address`, `sni` and `listener`; rules about requests belong in another filter",
                rule.name
            ));
        }
    }
    Ok(())
}

struct Making<'a> {
    /// As counters are named after them.
    names: BTreeSet<String>,
    keep: Duration,
    setup: &'a mut Setup,
}

impl Making<'_> {
    fn all(&mut self, rules: Vec<RuleConfig>, effect: Effect) -> Result<Vec<Rule>, String> {
        let key = if effect == Effect::Deny { "deny" } else { "allow" };
        let one = |(at, rule): (usize, RuleConfig)| {
            let place = format!("`{key}` rule {} (\"{}\")", at + 1, rule.name);
            self.one(rule, effect).map_err(|reason| format!("{place}: {reason}"))
        };
        rules.into_iter().enumerate().map(one).collect()
    }

    fn one(&mut self, rule: RuleConfig, effect: Effect) -> Result<Rule, String> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if !(1..=NAME).contains(&rule.name.len()) || !rule.name.bytes().all(fits) {
            return Err(format!("a `name` is 1 to {NAME} of a-z, 0-9, `_` and `-`"));
        }
        let counted = rule.name.replace('-', "_");
        if !self.names.insert(counted.clone()) {
            return Err(
                "another rule has this `name` already, or one that differs in `-` and `_` only".to_owned()
            );
        }
        let name = Text::Shared(rule.name.clone().into());
        let (did, decision) = match effect {
            Effect::Deny => ("denied", Ready::new(Decision::answer(403).reason(name).keep(self.keep))),
            Effect::Allow => ("allowed", Ready::new(Decision::pass().fact(RULE, name).keep(self.keep))),
        };
        let counter = if self.names.len() <= COUNTED {
            let help = format!("Decisions by the rule {}.", rule.name);
            Metric::named(&format!("{did}_by_{counted}"), &help)
        } else {
            Metric::named(&format!("{did}_by_others"), "Decisions by rules without a counter of their own.")
        };
        Rule::new(rule, effect, counter, decision, self.setup)
    }
}
