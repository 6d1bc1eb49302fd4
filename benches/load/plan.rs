//! What is to be measured, and the report of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::{
    idle, reload,
    rounds::{self, Pains},
    start,
    subjects::{CALLERS, Stage, Subject},
    swap, table,
    work::{Policies, Work},
};

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The works, in order.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "h1,h2c,tls")]
    work: Vec<Work>,
    /// The policies on every request.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none,four")]
    policies: Vec<Policies>,
    /// Measured beside Weir; those that are not installed are named and left out.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "plain,haproxy,nginx,envoy,envoy-wasm,floor,splice"
    )]
    peers: Vec<Subject>,
    /// How often every subject is measured, twice each time.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Requests per second at which latencies are measured; left out: half of what the slowest subject answers.
    #[arg(long)]
    rate: Option<f64>,
    /// Callers, each of whom asks for a path of its own: proxies that remember what they decided remember by both.
    #[arg(long, default_value_t = CALLERS)]
    callers: usize,
    /// Idle connections to hold for the memory of one; 0 leaves memory and start out.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// Routes of a large configuration whose reload is measured; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    reload: usize,
    /// Swaps of a filter under load, for each set of policies; 0 leaves them out.
    #[arg(long, default_value_t = 0)]
    swap: usize,
    /// Write the results here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The binary of Weir.
    #[arg(long)]
    pub(crate) weir: PathBuf,
}

impl Plan {
    fn pains(&self) -> Pains {
        Pains { rounds: self.rounds, seconds: self.seconds, rate: self.rate }
    }
}

/// The report: one object per work, policies and subject.
#[derive(Debug, Default, Serialize)]
struct Report {
    machine: String,
    loads: Vec<rounds::Measured>,
    idle: Vec<idle::Idle>,
    instances: Vec<idle::Instances>,
    starts: Vec<start::Start>,
    reload: Option<reload::Reload>,
    swaps: Vec<swap::Swapped>,
}

pub(crate) fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.callers > 0, "`--callers`: without any nobody asks");
    ensure!(plan.weir.is_file(), "{} is not there; build it with --release", plan.weir.display());
    idle::raise_limit()?;
    let folder = tempfile::Builder::new().prefix("weir-load-cache-").tempdir()?;
    // Made by Weir itself, which trusts no folder that others can read.
    let cache = folder.path().join("compiled");
    let mut subjects = vec![Subject::Weir];
    for peer in plan.peers.iter().copied().filter(|peer| *peer != Subject::Weir) {
        match peer.binary(&plan.weir) {
            Some(_) => subjects.push(peer),
            None => println!("{} is not installed: left out", peer.name()),
        }
    }
    let mut report = Report { machine: machine(), ..Report::default() };
    println!("{}", report.machine);
    for &work in &plan.work {
        for &policies in &plan.policies {
            let stage = Stage::set(&plan.weir, Some(&cache), work, policies)?;
            stage.ask_as(plan.callers)?;
            let measured = rounds::run(&stage, &subjects, plan.pains())
                .with_context(|| format!("{} with {}", work.name(), policies.name()))?;
            table::loads(work, policies, &measured);
            report.loads.extend(measured);
        }
    }
    if plan.idle > 0 {
        memory(plan, &cache, &subjects, &mut report)?;
    }
    if plan.swap > 0 {
        for &policies in &plan.policies {
            report.swaps.extend(swap::run(&plan.weir, &cache, policies, plan.swap, plan.pains())?);
        }
        table::swaps(&report.swaps);
    }
    if plan.reload > 0 {
        let reload = reload::run(&plan.weir, &cache, plan.reload, plan.rounds)?;
        table::reload(&reload);
        report.reload = Some(reload);
    }
    if let Some(path) = &plan.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Memory and start.
fn memory(plan: &Plan, cache: &Path, subjects: &[Subject], report: &mut Report) -> Result<()> {
    for &policies in &plan.policies {
        report.idle.extend(idle::run(&plan.weir, cache, subjects, policies, plan.idle)?);
        report.instances.extend(idle::instances(&plan.weir, cache, policies, plan.idle)?);
    }
    table::idle(&report.idle);
    table::instances(&report.instances);
    for &policies in &plan.policies {
        report.starts.extend(start::run(&plan.weir, subjects, policies, plan.rounds)?);
    }
    table::starts(&report.starts);
    Ok(())
}

/// The machine in a line, for whoever reads the table elsewhere.
fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {}, Linux {}", model.map_or("an unknown CPU", |(_, name)| name), kernel.trim())
}
