//! `[clusters.NAME.ejection]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// Endpoints whose answers are bad are not used for a while; then one request tells whether they come back. What
/// counts are statuses from 500 on, the gRPC statuses that mean the same, and no answer at all; 429 does not.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ejection {
    /// Failures in a row that eject an endpoint; with 0 nothing is ejected for that.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) consecutive_failures: u32,
    /// How long the first ejection takes, up to a tenth less; each one after it takes so much longer, until the
    /// earlier ones are forgotten, one for each time of this length that passes without another.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1d"))]
    pub(crate) time: Duration,
    /// No ejection takes longer.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1d"))]
    pub(crate) most_time: Duration,
    /// How many of the endpoints may be ejected at a time. One always may, unless it is the only one.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) most_percent: u32,
    /// Eject endpoints too of whose answers far fewer are good than of the others'. Off without this section.
    pub(crate) success_rate: Option<SuccessRate>,
}

impl Default for Ejection {
    fn default() -> Ejection {
        Ejection {
            consecutive_failures: 5,
            time: Duration::seconds(30),
            most_time: Duration::seconds(300),
            most_percent: 10,
            success_rate: None,
        }
    }
}

/// When an endpoint's share of good answers is too low, compared with the others'.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SuccessRate {
    /// From one comparison to the next.
    #[schemars(extend("x-least" = "1s", "x-most" = "1h"))]
    pub(crate) interval: Duration,
    /// Answers that an endpoint must have given meanwhile to be compared.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) requests: u32,
    /// Endpoints that must be comparable; with fewer nothing is done.
    #[schemars(range(min = 3, max = 10_000))]
    pub(crate) endpoints: u32,
    /// How far below the mean an endpoint's share must be, in standard deviations.
    #[schemars(range(min = 0.1, max = 10.0))]
    pub(crate) deviations: f64,
}

impl Default for SuccessRate {
    fn default() -> SuccessRate {
        SuccessRate { interval: Duration::seconds(10), requests: 100, endpoints: 5, deviations: 1.9 }
    }
}
