//! `[clusters.NAME.retry]`: a section of its own, because most clusters do well without a word of it; and
//! `[retry_policies.NAME]`, for exchanges that want it otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

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
    /// Before the second attempt there is a wait of up to this, by chance; before each further one of up to twice as
    /// much as before the last.
    #[schemars(extend("x-least" = "1us", "x-most" = "1m"))]
    pub(crate) backoff: Duration,
    /// No such wait is longer, unless the answer's `Retry-After` says so.
    #[schemars(extend("x-least" = "1us", "x-most" = "1m"))]
    pub(crate) backoff_most: Duration,
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
    /// How many may be asked beside the first, each after the same time; 0: none.
    #[schemars(range(min = 0, max = 3))]
    pub(crate) most: u8,
}

/// What is tried again, and how, for exchanges of which a filter says so: those with the fact `retry.policy` that
/// names this policy (the `retry_policy` of a route of `builtin:router`). What is not said here is as the cluster has it.
/// The budget is the cluster's always.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetryPolicy {
    /// Further attempts. A filter that names a number itself overrules it.
    #[schemars(range(min = 0, max = 10), example = 3)]
    pub(crate) retries: Option<u8>,
    /// See `[clusters.NAME.retry]`, as for all that follows.
    #[schemars(inner(range(min = 400, max = 599)), example = json!([503, 429]))]
    pub(crate) statuses: Option<List<u16>>,
    /// gRPC statuses after which a call is tried again.
    #[schemars(example = json!(["unavailable", "aborted"]))]
    pub(crate) grpc: Option<List<GrpcStatus>>,
    /// How long an attempt waits for the head of its response.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1d"), example = "500ms")]
    pub(crate) per_try_timeout: Option<Duration>,
    /// The wait before the second attempt, at most.
    #[schemars(extend("x-least" = "1us", "x-most" = "1m"), example = "100ms")]
    pub(crate) backoff: Option<Duration>,
    /// The longest wait.
    #[schemars(extend("x-least" = "1us", "x-most" = "1m"), example = "2s")]
    pub(crate) backoff_most: Option<Duration>,
    pub(crate) hedge: Option<Hedge>,
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
            backoff: Duration::milliseconds(25),
            backoff_most: Duration::milliseconds(250),
            buffer: Size::kib(64),
            budget_percent: 20,
            budget_per_second: 10,
        }
    }
}
