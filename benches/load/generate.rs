//! A load, and what it saw: requests, failures, latencies.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{cpu, http1, http2, work::Wire};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The proxy.
    #[arg(long)]
    pub(crate) target: SocketAddr,
    /// What is spoken.
    #[arg(long)]
    pub(crate) wire: Wire,
    /// Connections.
    #[arg(long)]
    pub(crate) connections: usize,
    /// Requests at a time on each of them (HTTP/2).
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    /// Seconds before counting begins.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) warm: f64,
    /// Seconds to count; with a number of requests, how long they may take.
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Requests per second (open loop); without it each connection asks again as soon as it is answered.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Exactly this many requests, counted from the first.
    #[arg(long, conflicts_with = "warm")]
    pub(crate) count: Option<u64>,
    /// A JSON file: the requests, each a list of fields; they take turns.
    #[arg(long)]
    pub(crate) requests: PathBuf,
    /// The authority that signed the proxy's certificate (PEM).
    #[arg(long)]
    pub(crate) ca: Option<PathBuf>,
    /// What the load shows if both sides have to show a certificate: that, with its key (PEM).
    #[arg(long)]
    pub(crate) own: Option<PathBuf>,
}

impl Options {
    /// Whether the planned number of requests is through.
    pub(crate) fn done(&self, counts: &Counts) -> bool {
        self.count.is_some_and(|count| counts.answered + counts.failed >= count)
    }
}

/// One request: GET of a path with these fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// What a load saw in the counted time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    /// CPU seconds of the load itself.
    pub(crate) own_cpu: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) most_us: f64,
}

/// Prints `begin` when counting begins, and a line of JSON when it is over.
pub(crate) fn run(options: &Options) -> Result<()> {
    let text = std::fs::read(&options.requests).context("reading the requests")?;
    let requests: Vec<Asked> = serde_json::from_slice(&text)?;
    let seen = match options.wire {
        Wire::H2c => http2::run(options, &requests)?,
        _ => http1::run(options, &requests)?,
    };
    if let Some(count) = options.count {
        let (asked, seconds) = (seen.requests + seen.failed, options.seconds);
        ensure!(asked >= count, "only {asked} of {count} requests were through within {seconds} s");
    }
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// What is counted while a load runs.
#[derive(Debug)]
pub(crate) struct Counts {
    latencies: Latencies,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self { latencies: Latencies::new(), answered: 0, failed: 0 }
    }

    pub(crate) fn answered(&mut self, time: Duration) {
        self.answered += 1;
        self.latencies.add(time);
    }

    /// What was seen since then, when this process had used so many seconds of CPU.
    pub(crate) fn seen(&self, from: Instant, cpu_before: f64) -> Result<Seen> {
        Ok(Seen {
            requests: self.answered,
            failed: self.failed,
            seconds: from.elapsed().as_secs_f64(),
            own_cpu: cpu::own()? - cpu_before,
            p50_us: self.latencies.quantile(0.5),
            p99_us: self.latencies.quantile(0.99),
            most_us: self.latencies.quantile(1.0),
        })
    }
}

/// Latencies in buckets of 1/16 of a power of two of nanoseconds: 6 % wide, no allocation.
#[derive(Debug)]
struct Latencies(Vec<u64>);

impl Latencies {
    fn new() -> Self {
        Self(vec![0; 64 * 16])
    }

    fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(16);
        let power = nanos.ilog2() as usize;
        let sixteenth = ((nanos >> (power - 4)) & 15) as usize;
        self.0[power * 16 + sixteenth] += 1;
    }

    /// Microseconds below which this share of all lie.
    fn quantile(&self, share: f64) -> f64 {
        let total: u64 = self.0.iter().sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (bucket, count) in self.0.iter().enumerate() {
            passed += count;
            if passed >= wanted && *count > 0 {
                let (power, sixteenth) = (bucket / 16, bucket % 16);
                return 2f64.powi(power as i32) * (1.0 + (sixteenth as f64 + 0.5) / 16.0) / 1e3;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_bucket() {
        let mut latencies = Latencies::new();
        (1..=1000).for_each(|n| latencies.add(Duration::from_micros(n)));
        for (share, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let told = latencies.quantile(share);
            assert!((told / exact - 1.0).abs() < 0.07, "{share}: {told}");
        }
        assert_eq!(Latencies::new().quantile(0.5), 0.0);
    }
}
