//! Why a request is not let in, and how it is told.

use std::rc::Rc;
use std::time::Duration;

use weir_sdk::Decision;

use crate::config::Config;
use crate::place::Source;

/// Each has its word in the access log and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no key.
    Missing,
    /// More than one.
    Several,
    /// It is nobody's.
    Unknown,
    /// Its owner is switched off.
    Disabled,
    Expired,
    /// It does not open this path.
    Path,
}

impl Refusal {
    fn told(self) -> (u16, &'static str) {
        match self {
            Refusal::Missing => (401, "missing"),
            Refusal::Several => (400, "several"),
            Refusal::Unknown => (401, "unknown"),
            Refusal::Disabled => (403, "disabled"),
            Refusal::Expired => (403, "expired"),
            Refusal::Path => (403, "path"),
        }
    }
}

/// How refusals are told.
pub(crate) struct Challenge {
    /// `ApiKey realm="..."`
    text: Rc<str>,
    keep: Duration,
}

impl Challenge {
    pub(crate) fn new(config: &Config, source: &Source, filter: &str) -> Result<Self, String> {
        let realm = config.realm.as_deref().unwrap_or(filter);
        if !realm.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            return Err("`realm` must be printable ASCII without quotes and backslashes".to_owned());
        }
        let text = format!("{} realm=\"{realm}\"", source.scheme()).into();
        Ok(Challenge { text, keep: config.remember_refused.0 })
    }

    pub(crate) fn reply(&self, refusal: Refusal) -> Decision {
        let (status, reason) = refusal.told();
        // What depends on the path must not be remembered: the path is not among the values shown.
        let keep = if refusal == Refusal::Path { Duration::ZERO } else { self.keep };
        let reply = Decision::answer(status).reason(reason).keep(keep);
        // RFC 9110 15.5.2: 401 says how to do better.
        if status == 401 { reply.header("www-authenticate", &self.text).into() } else { reply.into() }
    }
}
