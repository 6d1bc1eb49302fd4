//! Checks of `[clusters.NAME.retry]` and of `[retry_policies.NAME]`.

use super::Checker;
use crate::{
    checked::{Hedge, Retry, RetryPolicy},
    document::Place,
    file::{self, List},
};

impl Checker<'_, '_> {
    pub(super) fn retry(&mut self, file: &file::Cluster, at: &Place<'_>) -> Retry {
        let retry = &file.retry;
        let at = at.key("retry");
        let per_try_timeout = retry.per_try_timeout.map(|timeout| timeout.0);
        if per_try_timeout.is_some_and(|timeout| timeout >= file.exchange_timeout.0) {
            let reason =
                format!("has no effect: the whole exchange may take no longer ({})", file.exchange_timeout);
            self.findings.warn(
                &at.key("per_try_timeout"),
                reason,
                "shorten it, or lengthen exchange_timeout",
            );
        }
        self.rising(Some(retry.backoff), Some(retry.backoff_most), &at);
        Retry {
            statuses: all(&retry.statuses),
            grpc: all(&retry.grpc),
            per_try_timeout,
            backoff: retry.backoff.0,
            backoff_most: retry.backoff_most.0,
            buffer: retry.buffer.bytes(),
            budget_percent: retry.budget_percent,
            budget_per_second: retry.budget_per_second,
        }
    }

    pub(super) fn retry_policy(
        &mut self,
        name: &str,
        file: &file::RetryPolicy,
        at: &Place<'_>,
    ) -> RetryPolicy {
        self.rising(file.backoff, file.backoff_most, at);
        RetryPolicy {
            name: name.into(),
            retries: file.retries,
            statuses: file.statuses.as_ref().map(all),
            grpc: file.grpc.as_ref().map(all),
            per_try_timeout: file.per_try_timeout.map(|timeout| timeout.0),
            backoff: file.backoff.map(|wait| wait.0),
            backoff_most: file.backoff_most.map(|wait| wait.0),
            hedge: file.hedge.as_ref().and_then(hedge),
        }
    }

    fn rising(&mut self, first: Option<file::Duration>, most: Option<file::Duration>, at: &Place<'_>) {
        if let (Some(first), Some(most)) = (first, most)
            && first.0 > most.0
        {
            let reason = format!("is shorter than the first wait ({first})");
            self.findings.value(&at.key("backoff_most"), reason, "lengthen it, or shorten backoff");
        }
    }
}

pub(super) fn hedge(file: &file::Hedge) -> Option<Hedge> {
    Some(Hedge { after: file.after?.0, most: file.most })
}

fn all<T: Copy>(list: &List<T>) -> Vec<T> {
    list.items().map(|(_, item)| *item).collect()
}
