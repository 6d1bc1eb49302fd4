//! [`Terms`]: what counts for the attempts of one exchange - what its cluster says, and in place of that what the
//! retry policy says that a filter named for it (docs/decisions/0008).

use std::time::Duration;

use weir_balance::{Backoff, Jitter};
use weir_config::checked::{Cluster, GrpcStatus, Hedge, RetryPolicy};

use super::Exchange;
use crate::cluster::LocalCluster;

/// The fact that names a policy.
const FACT: &str = "retry.policy";

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct Terms<'c> {
    cluster: &'c Cluster,
    policy: Option<&'c RetryPolicy>,
}

impl Exchange<'_> {
    /// What counts for attempts at this cluster; `policies` are those that are configured.
    pub(super) fn terms<'c>(&self, cluster: &'c LocalCluster, policies: &'c [RetryPolicy]) -> Terms<'c> {
        let policy = if policies.is_empty() { None } else { self.named_policy(policies) };
        Terms { cluster: &cluster.shared.config, policy }
    }

    #[cold]
    fn named_policy<'c>(&self, policies: &'c [RetryPolicy]) -> Option<&'c RetryPolicy> {
        let named = self.heads.request.fact(FACT)?;
        let policy = policies.iter().find(|policy| *policy.name == *named);
        if policy.is_none() {
            self.state.shared.metrics.process.unknown_retry_policies.one(self.state.worker.index);
        }
        policy
    }
}

impl<'c> Terms<'c> {
    /// Further attempts.
    pub(super) fn retries(&self) -> u8 {
        self.said(|policy| policy.retries).unwrap_or(self.cluster.retries)
    }

    /// Statuses that are not the end for an idempotent request.
    pub(super) fn statuses(&self) -> &'c [u16] {
        self.said(|policy| policy.statuses.as_deref()).unwrap_or(&self.cluster.retry.statuses)
    }

    /// gRPC statuses that are not the end for any call.
    pub(super) fn grpc(&self) -> &'c [GrpcStatus] {
        self.said(|policy| policy.grpc.as_deref()).unwrap_or(&self.cluster.retry.grpc)
    }

    /// How long an attempt waits for a head.
    pub(super) fn per_try_timeout(&self) -> Option<Duration> {
        self.said(|policy| policy.per_try_timeout).or(self.cluster.retry.per_try_timeout)
    }

    /// The waits between attempts.
    pub(super) fn backoff(&self) -> Backoff {
        let retry = &self.cluster.retry;
        let base = self.said(|policy| policy.backoff).unwrap_or(retry.backoff);
        let cap = self.said(|policy| policy.backoff_most).unwrap_or(retry.backoff_most);
        Backoff { base, cap: cap.max(base), jitter: Jitter::Full }
    }

    /// Bytes of a body that are kept.
    pub(super) fn buffer(&self) -> usize {
        self.cluster.retry.buffer
    }

    /// When another endpoint is asked as well.
    pub(super) fn hedge(&self) -> Option<&'c Hedge> {
        let hedge = self.said(|policy| policy.hedge.as_ref()).or(self.cluster.hedge.as_ref());
        hedge.filter(|hedge| hedge.most > 0)
    }

    fn said<T>(&self, what: impl FnOnce(&'c RetryPolicy) -> Option<T>) -> Option<T> {
        self.policy.and_then(what)
    }
}
