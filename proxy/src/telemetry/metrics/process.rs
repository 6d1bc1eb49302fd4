//! What the process uses, under the names that Prometheus' own libraries gave these numbers.

use super::render::{Labels, heading, line};
use crate::resident;
use std::{fmt::Display, fs};

/// Name, kind and help; the order in which they are written.
pub(super) const FAMILIES: [(&str, &str, &str); 6] = [
    ("process_cpu_seconds_total", "counter", "CPU time used, in user and system mode."),
    ("process_resident_memory_bytes", "gauge", "Memory in RAM."),
    ("process_virtual_memory_bytes", "gauge", "Address space."),
    ("process_open_fds", "gauge", "Open file descriptors."),
    ("process_max_fds", "gauge", "File descriptors that may be open."),
    ("process_start_time_seconds", "gauge", "Unix time of the start."),
];

/// What cannot be learned on this system is left out.
pub(super) fn render(started_unix_ms: u64, out: &mut String) {
    let (resident, address_space) = resident::memory().unzip();
    show(0, Some(cpu_seconds()), out);
    show(1, resident, out);
    show(2, address_space, out);
    show(3, open_descriptors(), out);
    show(4, rustix::process::getrlimit(rustix::process::Resource::Nofile).current, out);
    show(5, Some(started_unix_ms as f64 / 1e3), out);
}

fn show(family: usize, value: Option<impl Display>, out: &mut String) {
    let (name, kind, help) = FAMILIES[family];
    if let Some(value) = value {
        heading(name, help, kind, out);
        line(name, &Labels::default(), value, out);
    }
}

fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// One less than is listed: the listing itself needs a descriptor.
fn open_descriptors() -> Option<usize> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn everything_is_known_on_linux() {
        let mut out = String::new();
        render(1_500, &mut out);
        for (name, _, _) in FAMILIES {
            let value = out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value: f64 = value.unwrap_or_default().parse().unwrap();
            assert!(value > 0.0, "{name} is {value}");
        }
        assert!(out.contains("process_start_time_seconds 1.5\n"));
    }
}
