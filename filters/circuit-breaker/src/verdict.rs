//! What an exchange says about the cluster: that it works, that it fails, or nothing.

use weir_sdk::Outcome;

use crate::config::{FailuresConfig, StatusConfig};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Failure,
    /// The caller left before an answer, or the cluster was never asked.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Failures {
    statuses: Vec<(u16, u16)>,
    timeouts: bool,
    resets: bool,
    aborted: bool,
}

impl Failures {
    pub(crate) fn new(config: &FailuresConfig) -> Result<Self, String> {
        let statuses = config.statuses.iter().map(range).collect::<Result<_, _>>()?;
        let FailuresConfig { timeouts, resets, aborted, .. } = *config;
        Ok(Failures { statuses, timeouts, resets, aborted })
    }

    /// For an exchange whose last attempt was made to the cluster.
    pub(crate) fn judge(&self, outcome: &Outcome) -> Verdict {
        let failed = match (outcome.local, outcome.status) {
            _ if outcome.attempts == 0 => return Verdict::Nothing,
            (_, 0) if !self.aborted => return Verdict::Nothing,
            (_, 0) => true,
            // What the proxy answers when an attempt came to nothing (RFC 9110 15.6.3 to 15.6.5).
            (true, 504) => self.timeouts,
            (true, 502 | 503) => self.resets,
            (true, _) => false,
            (false, status) => self.statuses.iter().any(|(from, to)| (*from..=*to).contains(&status)),
        };
        if failed || (self.aborted && outcome.aborted) { Verdict::Failure } else { Verdict::Success }
    }
}

fn range(config: &StatusConfig) -> Result<(u16, u16), String> {
    let wrong =
        |what: &str| Err(format!("`failures.statuses`: {what} is neither a status nor a class as \"5xx\""));
    match config {
        StatusConfig::One(status @ 100..=599) => Ok((*status, *status)),
        StatusConfig::One(status) => wrong(&status.to_string()),
        StatusConfig::Class(class) => match class.as_bytes() {
            [first @ b'1'..=b'5', b'x', b'x'] => {
                let from = u16::from(first - b'0') * 100;
                Ok((from, from + 99))
            }
            _ => wrong(&format!("\"{class}\"")),
        },
    }
}
