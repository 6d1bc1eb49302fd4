//! What of a cluster's configuration is about trying again.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which attempts are repeated, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Statuses (400 to 599) that are not the end for an idempotent request.
    pub statuses: Vec<u16>,
    /// gRPC statuses that are not the end for any call.
    pub grpc: Vec<GrpcStatus>,
    /// From the end of the request to the head of the response; none: as long as the exchange may take.
    pub per_try_timeout: Option<Duration>,
    /// The first wait, at most (25 ms); each further one may be twice as long.
    pub backoff: Duration,
    /// The longest (250 ms).
    pub backoff_most: Duration,
    /// Bytes of a request's body that are kept to be sent again (64 KiB).
    pub buffer: usize,
    /// Retries within 10 s in percent of the requests, 0 to 100 (20).
    pub budget_percent: u32,
    /// Retries a second besides (10).
    pub budget_per_second: u32,
}

/// When another endpoint is asked as well.
#[derive(Debug, Clone, PartialEq)]
pub struct Hedge {
    /// How long the first is waited for, and then each further one.
    pub after: Duration,
    /// Further ones, 0 to 3 (1).
    pub most: u8,
}

/// What of a cluster's retries and hedging is otherwise for exchanges that name this; none: nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// As in `[retry_policies.NAME]`.
    pub name: Arc<str>,
    /// Further attempts.
    pub retries: Option<u8>,
    /// See [`Retry`], as for the rest.
    pub statuses: Option<Vec<u16>>,
    /// gRPC statuses.
    pub grpc: Option<Vec<GrpcStatus>>,
    /// For one attempt.
    pub per_try_timeout: Option<Duration>,
    /// The first wait.
    pub backoff: Option<Duration>,
    /// The longest.
    pub backoff_most: Option<Duration>,
    /// When another endpoint is asked as well.
    pub hedge: Option<Hedge>,
}

/// The status of a gRPC call that went wrong; the numbers are those of `grpc-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum GrpcStatus {
    /// 1: the caller gave it up.
    Cancelled = 1,
    /// 2: nobody knows why.
    Unknown = 2,
    /// 3: the caller asked for something wrong.
    InvalidArgument = 3,
    /// 4: its time was over.
    DeadlineExceeded = 4,
    /// 5: there is no such thing.
    NotFound = 5,
    /// 6: there is such a thing already.
    AlreadyExists = 6,
    /// 7: the caller may not.
    PermissionDenied = 7,
    /// 8: a quota is used up.
    ResourceExhausted = 8,
    /// 9: things are not in the state that this needs.
    FailedPrecondition = 9,
    /// 10: something else happened at the same time.
    Aborted = 10,
    /// 11: beyond the end.
    OutOfRange = 11,
    /// 12: not known there.
    Unimplemented = 12,
    /// 13: something is broken.
    Internal = 13,
    /// 14: not now; the one that is meant to be tried again.
    Unavailable = 14,
    /// 15: data are gone.
    DataLoss = 15,
    /// 16: nobody knows who the caller is.
    Unauthenticated = 16,
}
