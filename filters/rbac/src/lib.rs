//! Lets through who may, by rules on identity, address, method, path, fields and facts.
//!
//! Rules that deny are looked at first (`rules`), then those that allow; what none allows is denied. The
//! proxy is asked only for values that some rule names. A rule holds if all its conditions do (`rule`), and where a
//! request can be read in more than one way (`path`), it is read to its disadvantage.
//!
//! Config says what is judged (`subject`): requests, or connections, of which only the caller is known (`caller`).

mod caller;
mod config;
mod identity;
mod network;
mod path;
mod rule;
mod rules;
mod subject;

use weir_sdk::{Connection, Decision, Hooks, Metric, Policy, Request, Setup, Text, Verdict};

pub use config::Config;

use crate::rules::{Judgement, Rules};
use crate::subject::Subject;

/// The fact that says what would have been denied, and why.
const AUDIT: &str = "rbac.audit";

/// The filter.
pub struct Rbac {
    rules: Rules,
    audit: bool,
    audited: Metric,
}

#[weir_sdk::filter]
impl Policy for Rbac {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        setup.without(if config.connection { Hooks::REQUEST } else { Hooks::CONNECTION });
        Ok(Rbac {
            audit: config.audit,
            audited: Metric::named("audited", "Decisions that would have been denials, without audit."),
            rules: Rules::new(config, setup)?,
        })
    }

    fn on_connection(&mut self, connection: &Connection<'_>) -> Verdict {
        match self.judge(Subject::Connection(connection)) {
            (Judgement::Allowed(_), _) | (_, Some(_)) => Verdict::pass(),
            (denied, None) => Verdict::refuse(denied.reason()),
        }
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        match self.judge(Subject::Request(request)) {
            // Never remembered: each is to be seen.
            (_, Some(reason)) => Decision::pass().fact(AUDIT, reason).into(),
            (judgement, None) => judgement.decision(),
        }
    }
}

impl Rbac {
    /// Judges and counts. With the reason of a denial that is not to be carried out, which is told.
    fn judge(&self, subject: Subject<'_>) -> (Judgement<'_>, Option<Text>) {
        let judgement = self.rules.judge(subject);
        judgement.count();
        if !self.audit || matches!(judgement, Judgement::Allowed(_)) {
            return (judgement, None);
        }
        self.audited.increment();
        let reason = judgement.reason();
        weir_sdk::warn!("would be denied ({}): {}", &*reason, self.rules.told(subject));
        (judgement, Some(reason))
    }
}
