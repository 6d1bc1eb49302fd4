//! What operators meet: the command line, the admin API, reloads, logs, and the documents that promise them.

mod access_log;
mod admin;
mod broken;
pub(crate) mod capture;
mod certificates;
mod certs;
mod cli;
mod documents;
mod ending;
mod kept;
mod large;
mod reload;
mod start;

use anyhow::{Context, Result};
use weir_testkit::{Response, WeirProcess, eventually};

/// Asks for a reload by the admin API; its JSON, whatever became of it.
async fn reloaded(weir: &WeirProcess) -> Result<(u16, serde_json::Value)> {
    let response: Response = weir.admin_post("/reload", b"").await?;
    Ok((response.status, response.json()?))
}

/// Waits until the configuration in force has this number.
async fn generation(weir: &WeirProcess, number: u64) -> Result<()> {
    let what = format!("generation {number}");
    let reached = eventually(&what, async || {
        let standing = weir.admin_get("/config").await.ok()?.json().ok()?;
        (standing["generation"].as_u64()? >= number).then_some(())
    });
    reached.await.with_context(|| weir.stderr().join("\n"))
}

/// What `GET path` shows of the thing called `name`.
async fn shown(weir: &WeirProcess, path: &str, name: &str) -> Result<serde_json::Value> {
    let all = weir.admin_get(path).await?.json()?;
    let found = all.as_array().and_then(|all| all.iter().find(|one| one["name"] == name).cloned());
    found.with_context(|| format!("{name} is not in {all}"))
}

/// The code of a standard filter as another file: a custom section tells it apart and does nothing else.
fn variant(name: &str, mark: u8) -> Result<Vec<u8>> {
    let mut code = weir::app::builtin(name).context("no such filter")?.to_vec();
    code.extend([0, 2, 1, mark]);
    Ok(code)
}
