//! Weir, with one worker.

use std::{
    ffi::OsString,
    fmt::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{IDENTITY, Running, Stage, pinned};
use crate::work::{Policies, Wire};

/// How Weir is run where a measurement wants it otherwise than the load does.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// A program, and its arguments, that Weir is run by; empty: by nobody.
    pub(crate) under: Vec<OsString>,
    /// With the admin API.
    pub(crate) admin: bool,
    /// The code of the chain's first filter, in place of its own.
    pub(crate) first: Option<PathBuf>,
    /// Workers beyond the one.
    pub(crate) more_workers: usize,
}

pub(super) fn start(stage: &Stage, binary: &Path, policies: Policies) -> Result<Running> {
    start_with(stage, binary, &format!("weir-{}", policies.name()), &configuration(stage, policies)?)
}

/// Starts Weir with a configuration and waits until it is ready; its files are named so.
pub(super) fn start_with(stage: &Stage, binary: &Path, name: &str, configuration: &str) -> Result<Running> {
    let config = stage.write(&format!("{name}.toml"), configuration)?;
    let announced = stage.file(&format!("{name}.json"));
    // What a run before has left would be believed.
    let _ = std::fs::remove_file(&announced);
    let words = stage.file(&format!("{name}.log"));
    let log = std::fs::File::create(&words)?;
    let mut command = match &*stage.setup.under {
        [] => pinned(binary),
        [program, arguments @ ..] => {
            let mut command = pinned(program.as_ref());
            command.args(arguments).arg(binary);
            command
        }
    };
    command.args(["run", "--config"]).arg(config).arg("--announce").arg(&announced);
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let mut running = Running { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), admin: None };
    let slow = !stage.setup.under.is_empty();
    let patience = Instant::now() + Duration::from_secs(if slow { 600 } else { 60 });
    loop {
        if let Ok(text) = std::fs::read(&announced) {
            let said: serde_json::Value = serde_json::from_slice(&text)?;
            running.address = said["listeners"]["web"].as_str().context("no listener")?.parse()?;
            running.admin = said["admin"].as_str().map(str::parse).transpose()?;
            return Ok(running);
        }
        if running.child.try_wait()?.is_some() || Instant::now() > patience {
            bail!("weir does not start: {}", std::fs::read_to_string(words)?.trim());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn configuration(stage: &Stage, policies: Policies) -> Result<String> {
    let (chain, filters) = chain(stage, policies)?;
    let admin = if stage.setup.admin { "[admin]\naddress = \"127.0.0.1:0\"\n\n" } else { "" };
    let protocol =
        if stage.work.is_relay() { "protocol = \"tcp\"".to_owned() } else { format!("chain = {chain:?}") };
    let [identity, near, far] = tls(stage.work.wire());
    Ok(format!(
        "[workers]\ncount = {}\n\n{admin}[telemetry]\nlog = \"warn\"\n\n[cache]\ndirectory = {:?}\n\n{identity}\
         [listeners.web]\naddress = \"127.0.0.1:0\"\ncluster = \"users\"\n{protocol}\n{near}\n\
         [listeners.web.limits]\nconnections = 60_000\n\n\
         [clusters.users]\n{far}endpoints = [{{ address = \"{}\", labels = {{ version = \"v1\" }} }}, \
         {{ address = \"{}\", labels = {{ version = \"v2\" }} }}]\n\n{filters}",
        1 + stage.setup.more_workers,
        stage.cache.display().to_string(),
        stage.origin(0),
        stage.origin(1),
    ))
}

/// An identity, what the listener shows, what the cluster shows.
fn tls(wire: Wire) -> [String; 3] {
    if wire.is_mutual() {
        let files = "files = { cert = \"leaf.pem\", key = \"leaf.key\", bundle = \"ca.pem\" }";
        return [
            format!("[identities.own]\n{files}\n\n"),
            format!("tls = {{ identity = \"own\", peers = [{IDENTITY:?}] }}\n"),
            format!("tls = {{ identity = \"own\", expect = [{IDENTITY:?}] }}\n"),
        ];
    }
    let certificate = "tls = { certificates = [{ cert = \"leaf.pem\", key = \"leaf.key\" }] }\n";
    [String::new(), if wire.is_tls() { certificate.to_owned() } else { String::new() }, String::new()]
}

/// The names of the chain's filters, and what is configured of them.
fn chain(stage: &Stage, policies: Policies) -> Result<(Vec<&'static str>, String)> {
    let filters = filters(policies)?;
    let (mut names, mut text) = (Vec::new(), String::new());
    for (place, filter) in filters.into_iter().enumerate() {
        let code = match &stage.setup.first {
            Some(first) if place == 0 => first.display().to_string(),
            _ => filter.code,
        };
        writeln!(text, "[filters.{}]\nwasm = {code:?}\n{}", filter.name, filter.rest)?;
        if !stage.setup.under.is_empty() {
            // Its CPU time is not that of a processor there.
            writeln!(text, "limits = {{ time = \"10s\" }}")?;
        }
        names.push(filter.name);
    }
    Ok((names, text))
}

struct Filter {
    name: &'static str,
    code: String,
    rest: &'static str,
}

/// The name of the first filter of these policies.
pub(crate) fn first(policies: Policies) -> Result<&'static str> {
    Ok(filters(policies)?.first().context("there is no policy")?.name)
}

fn filters(policies: Policies) -> Result<Vec<Filter>> {
    let builtin = |name, code: &str, rest| Filter { name, code: format!("builtin:{code}"), rest };
    let router = "config = { routes = [{ name = \"users\", match = { path_prefix = \"/users\" }, cluster = \"users\" }] }";
    let jwt = "data = { jwks = { file = \"jwks.json\" } }\n\
         config = { issuer = \"https://bench.weir.example\", audience = \"users\", facts = { subject = \"sub\" } }";
    let canary = "config = { cluster = \"users\", versions = [{ label = \"v1\", weight = 90 }, \
         { label = \"v2\", weight = 10 }], sticky = { header = \"x-user\" } }";
    let router = || builtin("routes", "router", router);
    let jwt = || builtin("login", "jwt", jwt);
    let canary = || builtin("canary", "canary", canary);
    let breaker = || builtin("breaker", "circuit-breaker", "config = { cluster = \"users\" }");
    Ok(match policies {
        Policies::None => Vec::new(),
        Policies::Noop => {
            let code = weir_testkit::build_guest("weir-bench-noop")?.display().to_string();
            vec![Filter { name: "noop", code, rest: "" }]
        }
        Policies::Router => vec![router()],
        Policies::Jwt => vec![jwt()],
        Policies::Canary => vec![canary()],
        Policies::Breaker => vec![breaker()],
        Policies::Four => vec![router(), jwt(), canary(), breaker()],
    })
}
