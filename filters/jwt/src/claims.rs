//! The registered claims (RFC 7519 4.1) held against config and clock.

use serde_json::Value;

use crate::config::Config;
use crate::json::Object;
use crate::refusal::Refusal;
use crate::require::Requirement;

pub(crate) struct Rules {
    /// Empty: any.
    issuers: Vec<String>,
    audiences: Vec<String>,
    /// `typ` without "application/", in lower case.
    typ: Option<String>,
    skew_ms: u64,
    max_age_ms: Option<u64>,
    require_exp: bool,
    requirements: Vec<Requirement>,
}

impl Rules {
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        Ok(Rules {
            issuers: config.issuer.0.clone(),
            audiences: config.audience.0.clone(),
            typ: config.typ.as_deref().map(media_type),
            skew_ms: config.skew.as_millis(),
            max_age_ms: config.max_age.map(|age| age.as_millis()),
            require_exp: config.require_exp,
            requirements: config.require.iter().map(Requirement::new).collect::<Result<_, _>>()?,
        })
    }

    /// The header's `typ` (RFC 8725 3.11), if config asks for one.
    pub(crate) fn check_type(&self, typ: Option<&str>) -> Result<(), Refusal> {
        match &self.typ {
            Some(expected) if typ.map(media_type).as_ref() != Some(expected) => Err(Refusal::Malformed),
            _ => Ok(()),
        }
    }

    /// Until when the token is good, Unix time in ms.
    pub(crate) fn check(&self, claims: &Object, now_ms: u64) -> Result<u64, Refusal> {
        let until_ms = self.check_times(claims, now_ms)?;
        if !self.issuers.is_empty() && !one_of(claims.get("iss"), &self.issuers) {
            return Err(Refusal::Issuer);
        }
        if !self.audiences.is_empty() && !self.is_for_us(claims.get("aud")) {
            return Err(Refusal::Audience);
        }
        if !self.requirements.iter().all(|requirement| requirement.is_met(claims)) {
            return Err(Refusal::Claim);
        }
        Ok(until_ms)
    }

    fn check_times(&self, claims: &Object, now_ms: u64) -> Result<u64, Refusal> {
        let expires = time(claims, "exp")?;
        if expires.is_none() && self.require_exp {
            return Err(Refusal::Malformed);
        }
        let issued = time(claims, "iat")?;
        // A token from the future is a wrong clock or a lie: it is taken as `nbf` would be.
        let begins = time(claims, "nbf")?.max(issued).map_or(0, |ms| ms.saturating_sub(self.skew_ms));
        if now_ms < begins {
            return Err(Refusal::NotYetValid { wait_ms: begins - now_ms });
        }
        let too_old = match self.max_age_ms {
            Some(age) => Some(issued.ok_or(Refusal::Malformed)?.saturating_add(age)),
            None => None,
        };
        let ends = expires.into_iter().chain(too_old).min().unwrap_or(u64::MAX).saturating_add(self.skew_ms);
        if now_ms >= ends { Err(Refusal::Expired) } else { Ok(ends) }
    }

    /// One audience or a list of them (RFC 7519 4.1.3).
    fn is_for_us(&self, aud: Option<&Value>) -> bool {
        match aud {
            Some(Value::Array(list)) => list.iter().any(|aud| one_of(Some(aud), &self.audiences)),
            aud => one_of(aud, &self.audiences),
        }
    }
}

fn one_of(claim: Option<&Value>, expected: &[String]) -> bool {
    claim.and_then(Value::as_str).is_some_and(|text| expected.iter().any(|known| known == text))
}

/// A NumericDate (RFC 7519 2): seconds, perhaps with a fraction. In ms.
fn time(claims: &Object, name: &str) -> Result<Option<u64>, Refusal> {
    /// The year 9999. What lies beyond is not a time in seconds.
    const LAST: f64 = 253_402_300_800.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(seconds) if (0.0..LAST).contains(&seconds) => Ok(Some((seconds * 1_000.0) as u64)),
        _ => Err(Refusal::Malformed),
    }
}

/// "application/" may be left out (RFC 7515 4.1.9); case does not matter.
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}
