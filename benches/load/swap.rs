//! Swaps of a filter under load: what an exchange feels of them.
//!
//! The code of the first policy's filter is replaced by other code that does the same, again and again, each time
//! as if it were new: read, compiled, linked, configured, put in place. Latencies are those of an open loop,
//! before, while and after that happens.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{
    generate::Seen,
    rounds::{self, Pains, Quartiles},
    subjects::{Running, Stage, first_filter},
    work::{Policies, Work},
};

/// One swap in this time, if it does not take longer.
const SPACING: Duration = Duration::from_millis(250);

/// What swaps did to latencies.
#[derive(Debug, Serialize)]
pub(crate) struct Swapped {
    pub(crate) policies: Policies,
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) swaps: usize,
    /// From the question to the admin API to its answer that the new code is in force.
    pub(crate) swap_ms: Quartiles,
    pub(crate) before: Seen,
    pub(crate) during: Seen,
    pub(crate) after: Seen,
}

pub(crate) fn run(
    weir: &Path,
    cache: &Path,
    policies: Policies,
    swaps: usize,
    pains: Pains,
) -> Result<Option<Swapped>> {
    let package = match policies {
        Policies::None => return Ok(None),
        Policies::Noop => "weir-bench-noop",
        Policies::Router | Policies::Four => "weir-filter-router",
        Policies::Jwt => "weir-filter-jwt",
        Policies::Canary => "weir-filter-canary",
        Policies::Breaker => "weir-filter-circuit-breaker",
    };
    let code = std::fs::read(weir_testkit::build_guest(package)?)?;
    let mut stage = Stage::set(weir, Some(cache), Work::H1, policies)?;
    let file = stage.file("swapped.wasm");
    std::fs::write(&file, &code)?;
    stage.setup.admin = true;
    stage.setup.first = Some(file.clone());
    let running = stage.start_own()?;
    let rate = match pains.rate {
        Some(rate) => rate,
        None => rounds::sustained(&stage, &running, pains.seconds)?,
    };
    let before = rounds::paced(&stage, &running, pains.seconds, rate)?;
    let seconds = pains.seconds.max(SPACING.as_secs_f64() * swaps as f64);
    let mut load = stage.load(running.address, stage.work.width())?;
    load.args(["--seconds", &seconds.to_string(), "--rate", &rate.to_string()]);
    let filter = first_filter(policies)?;
    let until = Duration::from_secs_f64(seconds);
    let (during, times) = rounds::loaded(load, || swap(&running, filter, &file, &code, swaps, until))?;
    let after = rounds::paced(&stage, &running, pains.seconds, rate)?;
    let swaps = times.len();
    Ok(Some(Swapped { policies, rate, swaps, swap_ms: Quartiles::of(times), before, during, after }))
}

/// Swaps so often, or as often as there is time for; how many milliseconds each took.
fn swap(
    running: &Running,
    filter: &str,
    file: &Path,
    code: &[u8],
    swaps: usize,
    until: Duration,
) -> Result<Vec<f64>> {
    let began = Instant::now();
    let mut times = Vec::with_capacity(swaps);
    for swap in 0..swaps {
        if began.elapsed() >= until {
            break;
        }
        // Another file that does the same: a custom section (WebAssembly 1.0, 5.5.3) of 9 bytes, its name empty.
        let mut other = code.to_vec();
        other.extend([0, 9, 0].into_iter().chain((swap as u64).to_le_bytes()));
        let draft = file.with_extension("draft");
        std::fs::write(&draft, other)?;
        let asked = Instant::now();
        std::fs::rename(draft, file)?;
        let admin = running.admin.context("no admin API")?;
        post(admin, &format!("/filters/{filter}/swap")).with_context(|| format!("swap {swap}"))?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        let next = SPACING * u32::try_from(swap + 1)?;
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    Ok(times)
}

fn post(admin: SocketAddr, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
