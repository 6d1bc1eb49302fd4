//! CPU time and memory of processes, as the kernel counts them.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Seconds, by the scheduler's own clock (nanosecond resolution).
    pub(crate) cpu: f64,
    /// How they are shared, by ticks.
    user_ticks: u64,
    kernel_ticks: u64,
}

/// Seconds of CPU between two looks at a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) user: f64,
    pub(crate) kernel: f64,
}

impl Spent {
    pub(crate) fn all(self) -> f64 {
        self.user + self.kernel
    }
}

impl Used {
    /// From then to now. The sum is exact; its parts are as good as the ticks of that time are many.
    pub(crate) fn since(self, before: Self) -> Spent {
        let user = self.user_ticks.saturating_sub(before.user_ticks);
        let kernel = self.kernel_ticks.saturating_sub(before.kernel_ticks);
        let all = self.cpu - before.cpu;
        let in_kernel = all * kernel as f64 / (user + kernel).max(1) as f64;
        Spent { user: all - in_kernel, kernel: in_kernel }
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
