//! Why a request is not let in, and how it is told (RFC 6750 3).

use std::rc::Rc;
use std::time::Duration;

use weir_sdk::Decision;

use crate::config::Config;

/// Each has its word in the access log and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no token.
    Missing,
    /// More than one token: which one counts upstream is anyone's guess.
    Several,
    /// Not a token, or one that says what cannot be understood.
    Malformed,
    /// An algorithm that is not allowed; `none` for one.
    Algorithm,
    /// No key fits algorithm and `kid`.
    NoKeys,
    Signature,
    Expired,
    /// To be tried again in so many ms.
    NotYetValid {
        wait_ms: u64,
    },
    Issuer,
    Audience,
    /// A claim that is required is missing, or not as it must be.
    Claim,
}

impl Refusal {
    /// Status, `error` (RFC 6750 3.1; none if the caller showed nothing), description.
    fn told(self) -> (u16, Option<&'static str>, &'static str) {
        match self {
            Refusal::Missing => (401, None, ""),
            Refusal::Several => (400, Some("invalid_request"), "more than one token"),
            Refusal::Malformed => (401, Some("invalid_token"), "not a token"),
            Refusal::Algorithm => (401, Some("invalid_token"), "the algorithm is not allowed"),
            Refusal::NoKeys => (401, Some("invalid_token"), "no key fits the token"),
            Refusal::Signature => (401, Some("invalid_token"), "the signature is wrong"),
            Refusal::Expired => (401, Some("invalid_token"), "the token has expired"),
            Refusal::NotYetValid { .. } => (401, Some("invalid_token"), "the token is not valid yet"),
            Refusal::Issuer => (401, Some("invalid_token"), "the issuer is not trusted"),
            Refusal::Audience => (401, Some("invalid_token"), "the token is for others"),
            Refusal::Claim => (403, Some("insufficient_scope"), "a required claim is not met"),
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Refusal::Missing => "missing",
            Refusal::Several => "several",
            Refusal::Malformed => "malformed",
            Refusal::Algorithm => "algorithm",
            Refusal::NoKeys => "no_keys",
            Refusal::Signature => "signature",
            Refusal::Expired => "expired",
            Refusal::NotYetValid { .. } => "not_yet_valid",
            Refusal::Issuer => "issuer",
            Refusal::Audience => "audience",
            Refusal::Claim => "claim",
        }
    }
}

/// How refusals are told.
pub(crate) struct Challenge {
    /// `Bearer realm="..."`
    start: Rc<str>,
    keep: Duration,
}

impl Challenge {
    pub(crate) fn new(realm: &str, config: &Config) -> Result<Self, String> {
        if !realm.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            return Err("`realm` must be printable ASCII without quotes and backslashes".to_owned());
        }
        Ok(Challenge { start: format!("Bearer realm=\"{realm}\"").into(), keep: config.remember_refused.0 })
    }

    pub(crate) fn reply(&self, refusal: Refusal) -> Decision {
        let (status, error, description) = refusal.told();
        let reply = Decision::answer(status).reason(refusal.reason()).keep(self.keep(refusal));
        let Some(error) = error else { return reply.header("www-authenticate", &self.start).into() };
        let challenge = format!("{}, error=\"{error}\", error_description=\"{description}\"", self.start);
        reply.header("www-authenticate", challenge).into()
    }

    /// Everything but the begin of validity holds for good, or until the keys change.
    fn keep(&self, refusal: Refusal) -> Duration {
        match refusal {
            Refusal::NotYetValid { wait_ms } => self.keep.min(Duration::from_millis(wait_ms)),
            _ => self.keep,
        }
    }
}
