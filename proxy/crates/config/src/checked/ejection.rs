//! What of a cluster's configuration is about endpoints that are not used for a while.

use std::time::Duration;

/// When endpoints are ejected for their answers, and for how long. In brackets: the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Ejection {
    /// Failures in a row (5); 0: never for that.
    pub consecutive_failures: u32,
    /// The first ejection, and what each further one takes longer (30 s).
    pub time: Duration,
    /// The longest one (300 s); not below `time`.
    pub most_time: Duration,
    /// How many may be out at a time, 0 to 100 percent (10).
    pub most_percent: u32,
    /// None: rates are not compared.
    pub success_rate: Option<SuccessRate>,
}

/// When an endpoint's share of good answers is too low.
#[derive(Debug, Clone, PartialEq)]
pub struct SuccessRate {
    /// From one comparison to the next (10 s).
    pub interval: Duration,
    /// Answers that make an endpoint comparable (100).
    pub requests: u32,
    /// Comparable endpoints that are needed (5).
    pub endpoints: u32,
    /// Standard deviations below the mean (1.9).
    pub deviations: f64,
}
