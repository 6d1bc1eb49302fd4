//! The rounds: every subject in turn, forth and back, so that what drifts drifts for all.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{
    cpu,
    generate::Seen,
    subjects::{Running, Stage, Subject},
    work::{Policies, Work},
};

/// Seconds of load before counting begins.
const WARM: f64 = 0.5;

/// One subject at one work.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) work: Work,
    pub(crate) policies: Policies,
    pub(crate) subject: &'static str,
    /// Why there are no figures.
    pub(crate) missing: Option<String>,
    /// CPU microseconds per request, and the kernel's share of them.
    pub(crate) cpu_us: Quartiles,
    pub(crate) kernel_share: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) resident_mib: f64,
    /// The load's and the origin's core was busy to this share: near 1 they set the pace, not the proxy.
    pub(crate) load_busy: f64,
    pub(crate) failed: u64,
    /// Weir's CPU per request over this subject's, paired by round.
    pub(crate) weir_ratio: Option<Quartiles>,
}

/// Median and spread.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) median: f64,
    pub(crate) p25: f64,
    pub(crate) p75: f64,
}

impl Quartiles {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (values.len().saturating_sub(1)) as f64;
            let (low, high) = (place.floor() as usize, place.ceil() as usize);
            match (values.get(low), values.get(high)) {
                (Some(a), Some(b)) => a + (b - a) * place.fract(),
                _ => 0.0,
            }
        };
        Self { median: at(0.5), p25: at(0.25), p75: at(0.75) }
    }
}

/// What one measurement gave.
struct Sample {
    cpu_us: f64,
    kernel_share: f64,
    load_busy: f64,
    resident_mib: f64,
    seen: Seen,
}

/// Measures every subject at the stage's work.
pub(crate) fn run(stage: &Stage, subjects: &[Subject], rounds: usize, seconds: f64) -> Result<Vec<Measured>> {
    let started: Vec<(Subject, Result<Running, String>)> =
        subjects.iter().map(|subject| (*subject, stage.start(*subject))).collect();
    let mut samples: Vec<Vec<Sample>> = started.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        let forth = 0..started.len();
        for place in forth.clone().chain(forth.rev()) {
            if let (subject, Ok(running)) = &started[place] {
                let sample = sample(stage, running, seconds).with_context(|| subject.name())?;
                samples[place].push(sample);
            }
        }
    }
    let weir: Vec<f64> = per_round(&samples[0]);
    Ok(started
        .iter()
        .zip(&samples)
        .map(|((subject, running), samples)| {
            let own = per_round(samples);
            let ratios = weir.iter().zip(&own).map(|(weir, own)| weir / own).collect();
            let median = |of: fn(&Sample) -> f64| Quartiles::of(samples.iter().map(of).collect()).median;
            Measured {
                work: stage.work,
                policies: stage.policies,
                subject: subject.name(),
                missing: running.as_ref().err().cloned(),
                cpu_us: Quartiles::of(samples.iter().map(|s| s.cpu_us).collect()),
                kernel_share: median(|s| s.kernel_share),
                per_second: median(|s| s.seen.requests as f64 / s.seen.seconds),
                p50_us: median(|s| s.seen.p50_us),
                p99_us: median(|s| s.seen.p99_us),
                resident_mib: median(|s| s.resident_mib),
                load_busy: median(|s| s.load_busy),
                failed: samples.iter().map(|s| s.seen.failed).sum(),
                weir_ratio: (*subject != Subject::Weir && !own.is_empty()).then(|| Quartiles::of(ratios)),
            }
        })
        .collect())
}

/// The mean of a round's two measurements.
fn per_round(samples: &[Sample]) -> Vec<f64> {
    samples.chunks(2).map(|pair| pair.iter().map(|s| s.cpu_us).sum::<f64>() / pair.len() as f64).collect()
}

fn sample(stage: &Stage, running: &Running, seconds: f64) -> Result<Sample> {
    let (connections, streams) = stage.work.width();
    let mut load = Command::new("taskset");
    load.args(["-c", "1"]).arg(std::env::current_exe()?).arg("generate");
    load.args(["--target", &running.address.to_string(), "--wire", &stage.wire_name()]);
    load.args(["--connections", &connections.to_string(), "--streams", &streams.to_string()]);
    load.args(["--warm", &WARM.to_string(), "--seconds", &seconds.to_string()]);
    load.arg("--requests").arg(stage.requests()).arg("--ca").arg(stage.ca());
    let mut child = load.stdout(Stdio::piped()).spawn().context("starting the load")?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let mut line = || lines.next().context("the load ended early")?.context("the load's output");
    ensure!(line()? == "begin", "the load said something else");
    let before = (cpu::of(running.id())?, stage.origins_cpu()?);
    let seen: Seen = serde_json::from_str(&line()?)?;
    let (used, kernel_share) = cpu::of(running.id())?.since(before.0);
    let origins = stage.origins_cpu()? - before.1;
    let resident_mib = cpu::resident(running.id())?;
    ensure!(child.wait()?.success(), "the load failed");
    ensure!(seen.requests > 0, "nothing was answered");
    Ok(Sample {
        cpu_us: used * 1e6 / seen.requests as f64,
        kernel_share,
        load_busy: (origins + seen.own_cpu) / seen.seconds,
        resident_mib,
        seen,
    })
}
