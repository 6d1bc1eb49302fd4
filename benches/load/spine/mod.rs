//! Instructions of one exchange, counted by callgrind: the same from run to run, however busy the machine is, so
//! that they can be compared between commits.
//!
//! Weir runs twice, answers N and then three times N requests one after the other, and the difference is divided
//! by 2 N: start, first requests and end cancel out. What the kernel does is not counted.

mod callgrind;

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use crate::{
    generate::Seen,
    rounds,
    subjects::Stage,
    work::{Policies, Work},
};
use callgrind::Profile;

/// How long all requests of a run may take: callgrind makes everything some fifty times as slow.
const PATIENCE_SECONDS: f64 = 600.0;
/// Functions in the report.
const REPORTED: usize = 200;
/// The C library's entries to the kernel that an exchange may use.
const SYSTEM_CALLS: [&str; 20] = [
    "accept4",
    "clock_gettime",
    "close",
    "connect",
    "epoll_ctl",
    "epoll_wait",
    "getrandom",
    "getsockopt",
    "madvise",
    "mmap",
    "munmap",
    "read",
    "readv",
    "recv",
    "send",
    "setsockopt",
    "shutdown",
    "syscall",
    "write",
    "writev",
];

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The works, in order.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "h1,h2c,tls")]
    work: Vec<Work>,
    /// The policies on every request.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none,noop,four")]
    policies: Vec<Policies>,
    /// N: the difference is that of 2 N requests.
    #[arg(long, default_value_t = 1000)]
    requests: u64,
    /// Requests at a time, each on a connection (of HTTP/2: a stream) of its own. With more than one, the
    /// counts depend a little on how requests happen to meet.
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// Functions to show.
    #[arg(long, default_value_t = 20)]
    top: usize,
    /// Write the results here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The binary of Weir.
    #[arg(long)]
    weir: PathBuf,
}

/// One work with one set of policies.
#[derive(Debug, Serialize)]
struct Spine {
    work: Work,
    policies: Policies,
    /// Per exchange.
    instructions: f64,
    /// Those of compiled filters.
    wasm_instructions: f64,
    /// The C library's entries to the kernel, calls per exchange.
    system_calls: Vec<(String, f64)>,
    /// Those that cost most by themselves.
    functions: Vec<Cost>,
}

/// What a function costs per exchange, without those that it calls.
#[derive(Debug, Clone, Serialize)]
struct Cost {
    name: String,
    instructions: f64,
    calls: f64,
}

pub(crate) fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.weir.is_file(), "{} is not there; build it with --release", plan.weir.display());
    ensure!(plan.requests > 0 && plan.at_once > 0, "nothing would be counted");
    available()?;
    let folder = tempfile::Builder::new().prefix("weir-load-cache-").tempdir()?;
    // Made by Weir itself, which trusts no folder that others can read.
    let cache = folder.path().join("compiled");
    let mut report = Vec::new();
    for &work in &plan.work {
        for &policies in &plan.policies {
            let mut stage = Stage::set(&plan.weir, Some(&cache), work, policies)?;
            // The first start with these policies compiles them, for the processor that valgrind shows: its
            // quickest tool does for that.
            stage.setup.under = vec!["valgrind".into(), "--tool=none".into(), "--quiet".into()];
            drop(stage.start_own()?);
            let few = count(&mut stage, plan, plan.requests)?;
            let many = count(&mut stage, plan, 3 * plan.requests)?;
            let spine = difference(work, policies, &few, &many, 2 * plan.requests);
            show(&spine, plan.top);
            report.push(spine);
        }
    }
    if let Some(path) = &plan.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn available() -> Result<()> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(told) if told.status.success() => Ok(()),
        _ => bail!(
            "instructions are counted by callgrind, a part of valgrind, which is not installed:\n  \
             apt-get install valgrind      (Debian, Ubuntu)\n  dnf install valgrind          (Fedora)"
        ),
    }
}

/// Runs Weir under callgrind until it has answered so many requests.
fn count(stage: &mut Stage, plan: &Plan, requests: u64) -> Result<Profile> {
    let file = stage.file(&format!("callgrind.{requests}"));
    stage.setup.under = vec!["valgrind".into(), "--tool=callgrind".into(), "--quiet".into()];
    stage.setup.under.push(format!("--callgrind-out-file={}", file.display()).into());
    let running = stage.start_own()?;
    let width = if stage.work == Work::H2c { (1, plan.at_once) } else { (plan.at_once, 1) };
    let mut load = stage.load(running.address, width)?;
    load.args(["--count", &requests.to_string(), "--seconds", &PATIENCE_SECONDS.to_string()]);
    let seen: Seen = rounds::loaded(load, || Ok(()))?.0;
    ensure!(seen.failed == 0, "{} of {requests} requests failed", seen.failed);
    running.end()?;
    callgrind::read(&file)
}

fn difference(work: Work, policies: Policies, few: &Profile, many: &Profile, exchanges: u64) -> Spine {
    let per_exchange = |many: u64, few: u64| (many as f64 - few as f64) / exchanges as f64;
    let mut functions: Vec<Cost> = many
        .functions
        .iter()
        .map(|(name, many)| {
            let few = few.functions.get(name).copied().unwrap_or_default();
            Cost {
                name: name.clone(),
                instructions: per_exchange(many.own, few.own),
                calls: per_exchange(many.calls, few.calls),
            }
        })
        .collect();
    functions.sort_by(|a, b| b.instructions.total_cmp(&a.instructions).then_with(|| a.name.cmp(&b.name)));
    let called = |name: &&str| {
        let calls = functions.iter().find(|function| function.name == **name)?.calls;
        (calls >= 0.01).then(|| ((*name).to_owned(), calls))
    };
    let system_calls = SYSTEM_CALLS.iter().filter_map(called).collect();
    let wasm = functions.iter().find(|function| function.name == callgrind::WASM);
    Spine {
        work,
        policies,
        instructions: per_exchange(many.total, few.total),
        wasm_instructions: wasm.map_or(0.0, |wasm| wasm.instructions),
        system_calls,
        functions: functions.into_iter().take(REPORTED).collect(),
    }
}

fn show(spine: &Spine, top: usize) {
    println!("\n{} with policies {}\n", spine.work.name(), spine.policies.name());
    println!(
        "{:.0} instructions per exchange, {:.0} of them in filters",
        spine.instructions, spine.wasm_instructions
    );
    let calls: Vec<_> = spine.system_calls.iter().map(|(name, calls)| format!("{name} {calls:.2}")).collect();
    println!("system calls: {}\n", calls.join(", "));
    println!("| instructions | calls | function |\n|---|---|---|");
    for function in spine.functions.iter().take(top).filter(|function| function.instructions >= 1.0) {
        println!("| {:.0} | {:.2} | `{}` |", function.instructions, function.calls, function.name);
    }
}
