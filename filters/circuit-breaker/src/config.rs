//! The filter's `config` table. The README says what each key means.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_sdk::Span;

/// A slice of the window counts to 16 million.
const LONGEST_WINDOW: Span = Span::seconds(300);
/// As many as a slice can count in a row.
const MOST_IN_A_ROW: u64 = 100;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) cluster: String,
    #[serde(default)]
    pub(crate) open_at: OpenAt,
    #[serde(default = "second")]
    pub(crate) open_for: Span,
    #[serde(default = "minute")]
    pub(crate) open_at_most: Span,
    #[serde(default = "half_minute")]
    pub(crate) probe_timeout: Span,
    #[serde(default)]
    pub(crate) failures: FailuresConfig,
    pub(crate) fallback: Option<FallbackConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OpenAt {
    /// A share.
    pub(crate) failures: f64,
    pub(crate) of: u64,
    pub(crate) within: Span,
    /// 0: no matter how many.
    pub(crate) in_a_row: u64,
}

impl Default for OpenAt {
    fn default() -> Self {
        OpenAt { failures: 0.5, of: 20, within: Span::seconds(10), in_a_row: 7 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FailuresConfig {
    pub(crate) statuses: Vec<StatusConfig>,
    pub(crate) timeouts: bool,
    pub(crate) resets: bool,
    pub(crate) aborted: bool,
}

impl Default for FailuresConfig {
    fn default() -> Self {
        let statuses = vec![StatusConfig::Class("5xx".to_owned())];
        FailuresConfig { statuses, timeouts: true, resets: true, aborted: false }
    }
}

/// `503` or `"5xx"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum StatusConfig {
    One(u16),
    Class(String),
}

/// Exactly one of `cluster` and `reply`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FallbackConfig {
    pub(crate) cluster: Option<String>,
    pub(crate) reply: Option<ReplyConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplyConfig {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

impl Config {
    /// What serde cannot see.
    pub(crate) fn check(&self) -> Result<(), String> {
        let open_at = &self.open_at;
        if !(open_at.failures > 0.0 && open_at.failures <= 1.0) {
            return Err("`open_at.failures` is a share: above 0, at most 1".to_owned());
        }
        if open_at.of == 0 {
            return Err("`open_at.of` needs at least one request".to_owned());
        }
        if open_at.within.as_millis() < 100 || open_at.within > LONGEST_WINDOW {
            return Err("`open_at.within` must be 100ms to 5m".to_owned());
        }
        if open_at.in_a_row > MOST_IN_A_ROW {
            return Err(format!("`open_at.in_a_row` must be {MOST_IN_A_ROW} or less"));
        }
        if self.open_for.as_millis() == 0 || self.open_for > self.open_at_most {
            return Err("`open_for` must be 1ms or more, and not above `open_at_most`".to_owned());
        }
        if self.probe_timeout.as_millis() == 0 {
            return Err("`probe_timeout` must be 1ms or more".to_owned());
        }
        Ok(())
    }
}

fn second() -> Span {
    Span::seconds(1)
}

fn half_minute() -> Span {
    Span::seconds(30)
}

fn minute() -> Span {
    Span::seconds(60)
}
