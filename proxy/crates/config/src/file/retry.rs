//! `[clusters.NAME.retry]`: a section of its own, because most clusters do well without a word of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, List, Size};
use crate::checked::GrpcStatus;

/// What is tried again, as often as `retries` allows, and what keeps that from making an overload worse. An attempt
/// of which nothing reached the endpoint is always repeated. Others are if the method is idempotent and the
/// endpoint closed or was late before it answered, or answered with one of `statuses`; and whatever the method, if
/// it answered with one of the statuses in `grpc`. Never once a response has begun to go to the caller.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    /// Statuses after which an idempotent request is tried again.
    #[schemars(inner(range(min = 400, max = 599)))]
    pub(crate) statuses: List<u16>,
    /// gRPC statuses after which a call is tried again, if the endpoint answered with nothing else.
    pub(crate) grpc: List<GrpcStatus>,
    /// How long an attempt waits for the head of its response, once its request is sent; then it is given up. The last
    /// one is answered 504. Without it an attempt may take all of `exchange_timeout`.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1d"), example = "2s")]
    pub(crate) per_try_timeout: Option<Duration>,
    /// Bytes of a request's body that are kept, to be sent again. A request of which more has been sent is not
    /// tried again.
    #[schemars(extend("x-least" = "0B", "x-most" = "16MiB"))]
    pub(crate) buffer: Size,
    /// Retries over 10 s, as a share of the requests in percent.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) budget_percent: u32,
    /// Retries a second beside that share, so that a cluster with little traffic has some too.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) budget_per_second: u32,
}

/// When an endpoint takes long to answer, another one is asked too, and the first good answer is taken. Only requests with
/// an idempotent method, and without a body or with one that a filter has read whole. What is asked beside counts
/// against the budget of retries.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["after"]))]
pub(crate) struct Hedge {
    /// How long to wait before another one is asked: about what nineteen of twenty answers take.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1m"), example = "50ms")]
    pub(crate) after: Option<Duration>,
    /// How many may be asked beside the first, each after the same time.
    #[schemars(range(min = 1, max = 3))]
    pub(crate) most: u8,
}

impl Default for Hedge {
    fn default() -> Hedge {
        Hedge { after: None, most: 1 }
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            statuses: [502, 503, 504].into_iter().collect(),
            grpc: [GrpcStatus::Unavailable].into_iter().collect(),
            per_try_timeout: None,
            buffer: Size::kib(64),
            budget_percent: 20,
            budget_per_second: 10,
        }
    }
}
