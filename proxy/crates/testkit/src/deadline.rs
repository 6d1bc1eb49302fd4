//! Bounded waiting, so that a test that would hang fails and says what it waited for.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result};

/// The longest that anything in a test may take: generous, since it is only met by failures and by
/// machines that build and test at once.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, at most [`PATIENCE`]. The error names `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .with_context(|| format!("{what}: nothing within {PATIENCE:?}"))
}

/// Asks `probe` again and again until it gives a value, at most [`PATIENCE`]. For what can only be polled:
/// files, counters of another process.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    within(what, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
