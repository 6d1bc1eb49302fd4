//! A load, and what it saw: requests, failures, latencies.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{http1, http2, work::Wire};

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
    #[arg(long)]
    pub(crate) warm: f64,
    /// Seconds to count.
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Requests per second (open loop); without it each connection asks again as soon as it is answered.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// A JSON file: the requests, each a list of fields; they take turns.
    #[arg(long)]
    pub(crate) requests: PathBuf,
    /// The authority that signed the proxy's certificate (PEM).
    #[arg(long)]
    pub(crate) ca: Option<PathBuf>,
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
}

/// Prints `begin` when counting begins, and a line of JSON when it is over.
pub(crate) fn run(options: &Options) -> Result<()> {
    let text = std::fs::read(&options.requests).context("reading the requests")?;
    let requests: Vec<Asked> = serde_json::from_slice(&text)?;
    let seen = match options.wire {
        Wire::H1 | Wire::Tls | Wire::TlsNew => http1::run(options, &requests)?,
        Wire::H2c => http2::run(options, &requests)?,
    };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Latencies in buckets of 1/16 of a power of two of nanoseconds: 6 % wide, no allocation.
#[derive(Debug)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(vec![0; 64 * 16])
    }

    pub(crate) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(16);
        let power = nanos.ilog2() as usize;
        let sixteenth = ((nanos >> (power - 4)) & 15) as usize;
        self.0[power * 16 + sixteenth] += 1;
    }

    /// Microseconds below which this share of all lie.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
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
