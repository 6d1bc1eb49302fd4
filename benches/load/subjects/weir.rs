//! Weir, with one worker.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{Running, Stage, pinned};
use crate::work::Policies;

pub(super) fn start(stage: &Stage, binary: &Path, policies: Policies) -> Result<Running> {
    start_with(stage, binary, &format!("weir-{}", policies.name()), &configuration(stage, policies)?)
}

/// Starts Weir with a configuration and waits until it is ready.
pub(super) fn start_with(stage: &Stage, binary: &Path, name: &str, configuration: &str) -> Result<Running> {
    let config = stage.write(&format!("{name}.toml"), configuration)?;
    let announced = stage.file(&format!("{name}.json"));
    // What a run before has left would be believed.
    let _ = std::fs::remove_file(&announced);
    let words = stage.file(&format!("{name}.log"));
    let log = std::fs::File::create(&words)?;
    let mut command = pinned(binary);
    command.args(["run", "--config"]).arg(config).arg("--announce").arg(&announced);
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let mut running = Running { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(text) = std::fs::read(&announced) {
            let said: serde_json::Value = serde_json::from_slice(&text)?;
            running.address = said["listeners"]["web"].as_str().context("no listener")?.parse()?;
            return Ok(running);
        }
        if running.child.try_wait()?.is_some() || Instant::now() > patience {
            bail!("weir does not start: {}", std::fs::read_to_string(words)?.trim());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn configuration(stage: &Stage, policies: Policies) -> Result<String> {
    let (chain, filters) = filters(policies)?;
    let tls = if stage.tls() {
        "tls = { certificates = [{ cert = \"leaf.pem\", key = \"leaf.key\" }] }\n"
    } else {
        ""
    };
    Ok(format!(
        "[workers]\ncount = 1\n\n[telemetry]\nlog = \"warn\"\n\n[cache]\ndirectory = {:?}\n\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\ncluster = \"users\"\nchain = {chain}\n{tls}\n\
         [listeners.web.limits]\nconnections = 60_000\n\n\
         [clusters.users]\nendpoints = [{{ address = \"{}\", labels = {{ version = \"v1\" }} }}, \
         {{ address = \"{}\", labels = {{ version = \"v2\" }} }}]\n\n{filters}",
        stage.cache.display().to_string(),
        stage.origin(0),
        stage.origin(1),
    ))
}

fn filters(policies: Policies) -> Result<(&'static str, String)> {
    let router = "[filters.routes]\nwasm = \"builtin:router\"\n\
         config = { routes = [{ name = \"users\", match = { path_prefix = \"/users\" }, cluster = \"users\" }] }\n";
    let jwt = "[filters.login]\nwasm = \"builtin:jwt\"\ndata = { jwks = { file = \"jwks.json\" } }\n\
         config = { issuer = \"https://bench.weir.example\", audience = \"users\", facts = { subject = \"sub\" } }\n";
    let canary = "[filters.canary]\nwasm = \"builtin:canary\"\nconfig = { cluster = \"users\", \
         versions = [{ label = \"v1\", weight = 90 }, { label = \"v2\", weight = 10 }], sticky = { header = \"x-user\" } }\n";
    let breaker = "[filters.breaker]\nwasm = \"builtin:circuit-breaker\"\nconfig = { cluster = \"users\" }\n";
    Ok(match policies {
        Policies::None => ("[]", String::new()),
        Policies::Noop => {
            let guest = weir_testkit::build_guest("weir-bench-noop")?;
            ("[\"noop\"]", format!("[filters.noop]\nwasm = {:?}\n", guest.display().to_string()))
        }
        Policies::Router => ("[\"routes\"]", router.to_owned()),
        Policies::Jwt => ("[\"login\"]", jwt.to_owned()),
        Policies::Canary => ("[\"canary\"]", canary.to_owned()),
        Policies::Breaker => ("[\"breaker\"]", breaker.to_owned()),
        Policies::Four => (
            "[\"routes\", \"login\", \"canary\", \"breaker\"]",
            format!("{router}\n{jwt}\n{canary}\n{breaker}"),
        ),
    })
}
