//! CPU time and memory of processes, as the kernel counts them.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Seconds, by the scheduler's own clock (nanosecond resolution).
    pub(crate) cpu: f64,
    /// The share of it spent in the kernel, by ticks of 10 ms.
    user_ticks: u64,
    kernel_ticks: u64,
}

impl Used {
    /// From then to now: seconds of CPU and the kernel's share of them.
    pub(crate) fn since(self, before: Self) -> (f64, f64) {
        let user = self.user_ticks - before.user_ticks;
        let kernel = self.kernel_ticks - before.kernel_ticks;
        let ticks = (user + kernel).max(1);
        (self.cpu - before.cpu, kernel as f64 / ticks as f64)
    }
}

/// All threads of a process together.
pub(crate) fn of(process: u32) -> Result<Used> {
    let mut nanos = 0u64;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit_once(") ").context("stat")?.1;
    let mut fields = after_name.split(' ').skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse().ok()).context("stat");
    Ok(Used { cpu: Duration::from_nanos(nanos).as_secs_f64(), user_ticks: ticks()?, kernel_ticks: ticks()? })
}

/// CPU seconds of this process.
pub(crate) fn own() -> Result<f64> {
    Ok(of(std::process::id())?.cpu)
}

/// Resident memory in MiB.
pub(crate) fn resident(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
