//! The filter's `config` table. The README says what each key means.

use serde::Deserialize;
use weir_sdk::{Moment, Span};

/// As a memo can name them.
const MAX_VERSIONS: usize = 64;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) cluster: String,
    #[serde(default = "version")]
    pub(crate) label: String,
    pub(crate) versions: Vec<VersionConfig>,
    candidate: Option<String>,
    pub(crate) sticky: Option<StickyConfig>,
    pub(crate) force: Option<ForceConfig>,
    #[serde(default)]
    pub(crate) stages: Vec<StageConfig>,
    pub(crate) start: Option<Moment>,
    pub(crate) stop: Option<StopConfig>,
    #[serde(default)]
    pub(crate) generation: u64,
    pub(crate) fact: Option<String>,
    #[serde(default = "minute")]
    pub(crate) remember: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionConfig {
    pub(crate) label: String,
    weight: Option<f64>,
}

impl VersionConfig {
    /// In any unit.
    pub(crate) fn weight(&self) -> f64 {
        self.weight.unwrap_or_default()
    }
}

/// Exactly one of `header`, `cookie`, `fact`, `identity`, `address`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StickyConfig {
    pub(crate) header: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) fact: Option<String>,
    #[serde(default)]
    pub(crate) identity: bool,
    #[serde(default)]
    pub(crate) address: bool,
    #[serde(default)]
    pub(crate) set: bool,
    #[serde(default = "month")]
    pub(crate) max_age: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForceConfig {
    pub(crate) header: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageConfig {
    pub(crate) after: Span,
    /// In percent.
    pub(crate) weight: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopConfig {
    #[serde(default = "half_minute")]
    pub(crate) window: Span,
    #[serde(default = "fifty")]
    pub(crate) min_requests: u64,
    #[serde(default = "one_in_twenty")]
    pub(crate) failures_above: f64,
    pub(crate) latency_ratio: Option<f64>,
}

impl Config {
    /// The version that is new: the one named, else the last.
    pub(crate) fn candidate(&self) -> Result<usize, String> {
        let Some(name) = &self.candidate else { return Ok(self.versions.len().saturating_sub(1)) };
        let position = self.versions.iter().position(|version| version.label == *name);
        position.ok_or_else(|| format!("`candidate`: \"{name}\" is none of the versions"))
    }

    /// What serde cannot see.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_versions()?;
        self.check_stages()?;
        let Some(stop) = &self.stop else { return Ok(()) };
        if !(0.0..1.0).contains(&stop.failures_above) {
            return Err("`stop.failures_above` is a share: from 0 to below 1".to_owned());
        }
        if stop.latency_ratio.is_some_and(|ratio| ratio.is_nan() || ratio <= 1.0) {
            return Err("`stop.latency_ratio` must be above 1".to_owned());
        }
        if stop.window.as_millis() < 100 || stop.min_requests == 0 {
            return Err("`stop` needs a window of 100ms or more and at least one request".to_owned());
        }
        Ok(())
    }

    fn check_versions(&self) -> Result<(), String> {
        if self.versions.is_empty() || self.versions.len() > MAX_VERSIONS {
            return Err(format!("`versions` must be 1 to {MAX_VERSIONS}"));
        }
        let candidate = self.candidate()?;
        for (at, version) in self.versions.iter().enumerate() {
            let scheduled = at == candidate && !self.stages.is_empty();
            if version.weight.is_none() && !scheduled {
                return Err(format!("`versions`: \"{}\" has no weight", version.label));
            }
            if !version.weight().is_finite() || version.weight() < 0.0 {
                return Err(format!("`versions`: the weight of \"{}\" is not 0 or more", version.label));
            }
            if self.versions[..at].iter().any(|other| other.label == version.label) {
                return Err(format!("`versions`: \"{}\" is there twice", version.label));
            }
        }
        let total: f64 = self.versions.iter().map(VersionConfig::weight).sum();
        if !total.is_finite() || (total <= 0.0 && self.stages.is_empty()) {
            return Err("`versions`: one must have a weight above 0".to_owned());
        }
        let others = self.versions.iter().enumerate().filter(|(at, _)| *at != candidate);
        let steady: f64 = others.map(|(_, version)| version.weight()).sum();
        if steady <= 0.0 && (self.stop.is_some() || !self.stages.is_empty()) {
            return Err("`versions`: beside the candidate one must have a weight above 0".to_owned());
        }
        Ok(())
    }

    fn check_stages(&self) -> Result<(), String> {
        if self.stages.is_empty() && self.start.is_some() {
            return Err("`start` goes with `stages`".to_owned());
        }
        if self.stages.iter().any(|stage| !(0.0..=100.0).contains(&stage.weight)) {
            return Err("`stages`: a weight is a percentage, 0 to 100".to_owned());
        }
        if self.stages.windows(2).any(|pair| pair[0].after >= pair[1].after) {
            return Err("`stages`: each must come later than the one before".to_owned());
        }
        Ok(())
    }
}

fn version() -> String {
    "version".to_owned()
}

fn minute() -> Span {
    Span::seconds(60)
}

fn month() -> Span {
    Span::seconds(30 * 86_400)
}

fn half_minute() -> Span {
    Span::seconds(30)
}

fn fifty() -> u64 {
    50
}

fn one_in_twenty() -> f64 {
    0.05
}
