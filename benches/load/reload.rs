//! Reload: how long a changed configuration takes until it answers, what that costs, and what it holds.
//!
//! The configuration is large - a cluster for every ten routes - and is replaced as deployments replace it: written
//! under another name, then renamed. Each round changes one route and one cluster of it.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::{
    cpu,
    rounds::Quartiles,
    subjects::{Running, Stage},
    work::{Policies, Work},
};

/// Between the attempts to see the new configuration: its time is known to this.
const LOOK: Duration = Duration::from_micros(500);
/// A reload that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a reload: until all that it set in motion is done.
const REST: Duration = Duration::from_millis(500);
/// Before memory is looked at: until what reloads left behind is tidied away.
const TIDIED: Duration = Duration::from_secs(4);
/// Routes for each cluster.
const ROUTES_OF_CLUSTER: usize = 10;

/// Reloads of Weir with the router.
#[derive(Debug, Serialize)]
pub(crate) struct Reload {
    pub(crate) routes: usize,
    pub(crate) clusters: usize,
    pub(crate) file_kib: f64,
    /// Milliseconds from the rename to the first answer by the new configuration: from one route to all, and
    /// from all to all but one.
    pub(crate) first_ms: f64,
    pub(crate) live_ms: Quartiles,
    /// CPU milliseconds of the whole process for one of the latter.
    pub(crate) cpu_ms: Quartiles,
    /// Resident with one route, with all, and after the last reload.
    pub(crate) resident_one_mib: f64,
    pub(crate) resident_all_mib: f64,
    pub(crate) resident_mib: f64,
}

pub(crate) fn run(weir: &Path, cache: &Path, routes: usize, rounds: usize) -> Result<Reload> {
    let stage = Stage::set(weir, Some(cache), Work::H1, Policies::Router)?;
    let clusters = routes.div_ceil(ROUTES_OF_CLUSTER);
    let running = stage.start_weir("reload", &configuration(&stage, 1, 0)?)?;
    let mut asking = Asking::new(&running)?;
    ensure!(asking.answered(1, 0)?, "the first configuration does not answer");
    let resident = || {
        std::thread::sleep(TIDIED);
        cpu::resident(running.id())
    };
    let resident_one_mib = resident()?;
    let (first_ms, _) = reloaded(&stage, &running, &mut asking, routes, 1)?;
    let resident_all_mib = resident()?;
    let (mut live, mut used) = (Vec::new(), Vec::new());
    for version in 2..2 + 2 * rounds {
        let (ms, cpu_ms) = reloaded(&stage, &running, &mut asking, routes, version)?;
        live.push(ms);
        used.push(cpu_ms);
    }
    Ok(Reload {
        routes,
        clusters,
        file_kib: configuration(&stage, routes, 1)?.len() as f64 / 1024.0,
        first_ms,
        live_ms: Quartiles::of(live),
        cpu_ms: Quartiles::of(used),
        resident_one_mib,
        resident_all_mib,
        resident_mib: resident()?,
    })
}

/// Milliseconds until the new configuration answers, and CPU milliseconds until all is quiet again.
fn reloaded(
    stage: &Stage,
    running: &Running,
    asking: &mut Asking,
    routes: usize,
    version: usize,
) -> Result<(f64, f64)> {
    let draft = stage.write("reload.draft", &configuration(stage, routes, version)?)?;
    let before = cpu::of(running.id())?;
    let began = Instant::now();
    std::fs::rename(draft, stage.file("reload.toml"))?;
    while !asking.answered(routes, version)? {
        if began.elapsed() > PATIENCE {
            bail!("no reload: {}", std::fs::read_to_string(stage.file("reload.log"))?.trim());
        }
        std::thread::sleep(LOOK);
    }
    let live = began.elapsed();
    std::thread::sleep(REST);
    let cpu = cpu::of(running.id())?.since(before).all();
    Ok((live.as_secs_f64() * 1e3, cpu * 1e3))
}

/// One connection to the proxy, kept.
struct Asking {
    stream: TcpStream,
}

impl Asking {
    fn new(running: &Running) -> Result<Self> {
        let stream = TcpStream::connect(running.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream })
    }

    /// Whether the last route is that of this version yet; before, its path is nobody's.
    fn answered(&mut self, routes: usize, version: usize) -> Result<bool> {
        let (host, path) = (host(routes - 1), path(routes - 1, version));
        write!(self.stream, "GET {path}/orders HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
        let mut answer = [0; 4096];
        let mut length = 0;
        loop {
            let more = self.stream.read(&mut answer[length..])?;
            ensure!(more > 0, "the connection was closed");
            length += more;
            let text = std::str::from_utf8(&answer[..length]).context("the answer")?;
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let field = |line: &str| line.strip_prefix("content-length: ")?.parse::<usize>().ok();
            let expected = head.lines().find_map(field).context("no content-length")?;
            if body.len() == expected {
                return Ok(head.starts_with("HTTP/1.1 200"));
            }
        }
    }
}

fn host(route: usize) -> String {
    format!("shop-{}.example.com", route / ROUTES_OF_CLUSTER)
}

/// Of every version the last route has another path.
fn path(route: usize, version: usize) -> String {
    format!("/catalogue/v{version}/section-{route}")
}

fn configuration(stage: &Stage, routes: usize, version: usize) -> Result<String> {
    let mut text = format!(
        "[workers]\ncount = 1\n\n[telemetry]\nlog = \"warn\"\n\n[cache]\ndirectory = {:?}\n\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\nchain = [\"routes\"]\n\n",
        stage.cache().display().to_string(),
    );
    for cluster in 0..routes.div_ceil(ROUTES_OF_CLUSTER) {
        let (one, other) = (stage.origin(0), stage.origin(1));
        // The last one's changes too.
        let weight = if (cluster + 1) * ROUTES_OF_CLUSTER >= routes { version + 1 } else { 1 };
        write!(
            text,
            "[clusters.service-{cluster}]\nendpoints = [{{ address = \"{one}\" }}, \
             {{ address = \"{other}\", weight = {weight} }}]\n\n"
        )?;
    }
    text.push_str("[filters.routes]\nwasm = \"builtin:router\"\n\n");
    for route in 0..routes {
        let (cluster, host) = (route / ROUTES_OF_CLUSTER, host(route));
        let path = path(route, if route + 1 == routes { version } else { 0 });
        write!(
            text,
            "[[filters.routes.config.routes]]\nname = \"route-{route}\"\n\
             match = {{ host = \"{host}\", path_prefix = \"{path}\" }}\ncluster = \"service-{cluster}\"\n\n"
        )?;
    }
    Ok(text)
}
