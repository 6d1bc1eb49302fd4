//! What is to be measured, and the report of it.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::{
    idle, reload, rounds, start,
    subjects::{Stage, Subject},
    table,
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
    #[arg(long, value_enum, value_delimiter = ',', default_value = "plain,haproxy,nginx,envoy,floor")]
    peers: Vec<Subject>,
    /// How often every subject is measured, twice each time.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Idle connections to hold for the memory of one; 0 leaves memory and start out.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// Routes of a large configuration whose reload is measured; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    reload: usize,
    /// Write the results here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The binary of Weir.
    #[arg(long)]
    pub(crate) weir: PathBuf,
}

/// The report: one object per work, policies and subject.
#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    loads: Vec<rounds::Measured>,
    idle: Vec<idle::Idle>,
    starts: Vec<start::Start>,
    reload: Option<reload::Reload>,
}

pub(crate) fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.weir.is_file(), "{} is not there; build it with --release", plan.weir.display());
    idle::raise_limit()?;
    let cache = tempfile::Builder::new().prefix("weir-load-cache-").tempdir()?;
    let mut subjects = vec![Subject::Weir];
    for peer in plan.peers.iter().copied().filter(|peer| *peer != Subject::Weir) {
        match peer.binary(&plan.weir) {
            Some(_) => subjects.push(peer),
            None => println!("{} is not installed: left out", peer.name()),
        }
    }
    let mut report =
        Report { machine: machine(), loads: Vec::new(), idle: Vec::new(), starts: Vec::new(), reload: None };
    println!("{}", report.machine);
    for &work in &plan.work {
        for &policies in &plan.policies {
            let stage = Stage::set(&plan.weir, Some(cache.path()), work, policies)?;
            let measured = rounds::run(&stage, &subjects, plan.rounds, plan.seconds)
                .with_context(|| format!("{} with {}", work.name(), policies.name()))?;
            table::loads(work, policies, &measured);
            report.loads.extend(measured);
        }
    }
    if plan.idle > 0 {
        for &policies in &plan.policies {
            report.idle.extend(idle::run(&plan.weir, cache.path(), &subjects, policies, plan.idle)?);
        }
        table::idle(&report.idle);
        for &policies in &plan.policies {
            report.starts.extend(start::run(&plan.weir, &subjects, policies, plan.rounds)?);
        }
        table::starts(&report.starts);
    }
    if plan.reload > 0 {
        let reload = reload::run(&plan.weir, cache.path(), plan.reload, plan.rounds)?;
        table::reload(&reload);
        report.reload = Some(reload);
    }
    if let Some(path) = &plan.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
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
