//! What callers send and get: framing, fields, bad input, slow and aborting callers, drain.

use anyhow::Result;
use serde_json::Value;
use weir_testkit::{Signal, WeirProcess, eventually};

mod aborts;
mod bodies;
mod drain;
mod fields;
mod grpc;
mod http1;
mod http2;
mod http2_floods;
mod http2_violations;
mod invitation;
mod refusals;
mod smuggling;
mod tls;

/// One access log line per exchange, on standard output.
const LOGGED: &str = "[access_log]\nto = \"stdout\"\n";

/// The lines of the access log, once there are at least so many.
async fn logged(weir: &WeirProcess, least: usize) -> Result<Vec<Value>> {
    let what = format!("{least} lines of the access log");
    let lines = eventually(&what, async || Some(weir.stdout()).filter(|lines| lines.len() >= least));
    parsed(&lines.await?)
}

/// All lines of the access log, after Weir has ended well on SIGTERM.
async fn all_logged(weir: &mut WeirProcess) -> Result<Vec<Value>> {
    weir.signal(Signal::TERM)?;
    let status = weir.ended().await?;
    anyhow::ensure!(status.success(), "{status}");
    parsed(&weir.stdout())
}

fn parsed(lines: &[String]) -> Result<Vec<Value>> {
    lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Waits until a metric has this value.
async fn metric_is(weir: &WeirProcess, series: &str, value: f64) -> Result<()> {
    let (what, mut last) = (format!("{series} {value}"), None);
    let reached = eventually(&what, async || {
        last = weir.metric(series).await.ok().flatten();
        (last == Some(value)).then_some(())
    })
    .await;
    reached.map_err(|error| error.context(format!("{series} is {last:?}")))
}

/// `table.key = value`, added to the table of this name that [`crate::stage::plain`] writes.
fn with(config: &str, table: &str, line: &str) -> String {
    let head = format!("[{table}]\n");
    assert!(config.contains(&head), "no {head} in {config}");
    config.replacen(&head, &format!("{head}{line}\n"), 1)
}
