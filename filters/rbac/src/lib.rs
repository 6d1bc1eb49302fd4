//! Lets through who may, by rules on identity, method, path, fields and facts.
//!
//! Rules that deny are looked at first (`rules`), then those that allow; what none allows is denied. The
//! proxy is asked only for values that some rule names. A rule holds if all its conditions do (`rule`), and where a
//! request can be read in more than one way (`path`), it is read to its disadvantage.

mod config;
mod identity;
mod path;
mod rule;
mod rules;

use weir_sdk::{Decision, Metric, Policy, Request, Setup};

pub use config::Config;

use crate::rules::{Rules, Verdict};

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
        Ok(Rbac {
            audit: config.audit,
            audited: Metric::named("audited", "Decisions that would have been denials, without audit."),
            rules: Rules::new(config, setup)?,
        })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let verdict = self.rules.judge(request);
        verdict.count();
        if !self.audit || matches!(verdict, Verdict::Allowed(_)) {
            return verdict.decision();
        }
        self.audited.increment();
        let reason = verdict.reason();
        weir_sdk::warn!("would be denied ({}): {}", &*reason, self.rules.told(request));
        // Never remembered: each is to be seen.
        Decision::pass().fact(AUDIT, reason).into()
    }
}
