//! `[clusters.NAME.health]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, List};
use crate::checked::{HealthKind, Initial};

/// Ask endpoints again and again whether they are well; one that is not is not used. Without this section only the
/// answers to exchanges tell.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["check"]))]
pub(crate) struct Health {
    /// How they are asked, each time over a connection of its own, with the cluster's protocol and TLS.
    #[schemars(example = &"http")]
    pub(crate) check: Option<HealthKind>,
    /// What to `GET`, for `http`.
    pub(crate) path: String,
    /// Under which name, for `http`; the cluster's name if absent.
    #[schemars(example = &"users.internal")]
    pub(crate) host: Option<String>,
    /// The answers that mean well, for `http`.
    #[schemars(inner(range(min = 200, max = 599)))]
    pub(crate) statuses: List<u16>,
    /// Which service to ask for, for `grpc`; the empty one is the server as a whole.
    pub(crate) service: String,
    /// From the end of one check to the next, a tenth more or less by chance.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1h"))]
    pub(crate) interval: Duration,
    /// How long a check may take, connecting included.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1m"))]
    pub(crate) timeout: Duration,
    /// Failed checks in a row after which an endpoint is unhealthy.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) fall: u32,
    /// Passed checks in a row after which it is healthy again.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) rise: u32,
    /// What an endpoint is taken for before its first checks.
    pub(crate) initial: Initial,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            check: None,
            path: "/".to_owned(),
            host: None,
            statuses: [200].into_iter().collect(),
            service: String::new(),
            interval: Duration::seconds(5),
            timeout: Duration::seconds(1),
            fall: 3,
            rise: 2,
            initial: Initial::Healthy,
        }
    }
}
