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

/// Seconds of load before counting begins, unless the measurement itself is shorter.
const WARM: f64 = 0.5;
/// Latencies are measured at this share of what the slowest subject answers when pressed.
const SUSTAINED: f64 = 0.5;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pains {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// Requests per second when latencies are measured; without it, one that all subjects sustain.
    pub(crate) rate: Option<f64>,
}

/// One subject at one work.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) work: Work,
    pub(crate) policies: Policies,
    pub(crate) subject: &'static str,
    /// Why there are no figures.
    pub(crate) missing: Option<String>,
    /// CPU microseconds per request; then those outside and those inside the kernel.
    pub(crate) cpu_us: Quartiles,
    pub(crate) user_us: Quartiles,
    pub(crate) kernel_us: Quartiles,
    /// CPU seconds per GB (10^9 bytes) of bodies.
    pub(crate) cpu_s_per_gb: f64,
    /// When pressed.
    pub(crate) per_second: f64,
    /// Requests per second that latencies were measured at; the same for all subjects of a work.
    pub(crate) rate: f64,
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
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
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

/// A subject, and what was measured of it.
struct Place {
    subject: Subject,
    running: Result<Running, String>,
    pressed: Vec<Sample>,
    paced: Vec<Seen>,
}

/// What one measurement under pressure gave.
struct Sample {
    user_us: f64,
    kernel_us: f64,
    load_busy: f64,
    resident_mib: f64,
    seen: Seen,
}

impl Sample {
    fn cpu_us(&self) -> f64 {
        self.user_us + self.kernel_us
    }

    fn per_second(&self) -> f64 {
        self.seen.requests as f64 / self.seen.seconds
    }
}

/// Measures every subject at the stage's work: first pressed (closed loop), then paced (open loop).
pub(crate) fn run(stage: &Stage, subjects: &[Subject], pains: Pains) -> Result<Vec<Measured>> {
    let mut places: Vec<Place> = subjects
        .iter()
        .map(|&subject| Place {
            subject,
            running: stage.start(subject),
            pressed: Vec::new(),
            paced: Vec::new(),
        })
        .collect();
    let forth: Vec<usize> = (0..places.len()).filter(|&place| places[place].running.is_ok()).collect();
    for round in 0..pains.rounds {
        if round > 0 {
            forth.iter().try_for_each(|&place| places[place].start_anew(stage))?;
        }
        for &place in forth.iter().chain(forth.iter().rev()) {
            let place = &mut places[place];
            let Ok(running) = &place.running else { continue };
            let sample = pressed(stage, running, pains.seconds).with_context(|| place.subject.name())?;
            place.pressed.push(sample);
        }
    }
    let rate = pains.rate.unwrap_or_else(|| slowest(&places));
    for round in 0..pains.rounds {
        let back: Vec<usize> = forth.iter().rev().copied().collect();
        for &place in if round % 2 == 0 { &forth } else { &back } {
            let place = &mut places[place];
            let Ok(running) = &place.running else { continue };
            let seen = paced(stage, running, pains.seconds, rate).with_context(|| place.subject.name())?;
            place.paced.push(seen);
        }
    }
    let weir = places.first().map(|weir| per_round(&weir.pressed)).unwrap_or_default();
    Ok(places.into_iter().map(|place| place.measured(stage, &weir, rate)).collect())
}

impl Place {
    /// Another process: two of the same binary may differ by a tenth, by where their memory came to lie.
    fn start_anew(&mut self, stage: &Stage) -> Result<()> {
        // The one before ends first.
        self.running = Err("between two rounds".to_owned());
        self.running = Ok(stage.start(self.subject).map_err(anyhow::Error::msg)?);
        Ok(())
    }

    fn measured(self, stage: &Stage, weir: &[f64], rate: f64) -> Measured {
        let own = per_round(&self.pressed);
        let ratios = weir.iter().zip(&own).map(|(weir, own)| weir / own);
        let of = |figure: fn(&Sample) -> f64| Quartiles::of(self.pressed.iter().map(figure));
        let cpu_us = of(Sample::cpu_us);
        let failed = self.pressed.iter().map(|sample| sample.seen.failed);
        Measured {
            work: stage.work,
            policies: stage.policies,
            subject: self.subject.name(),
            missing: self.running.err(),
            cpu_us,
            user_us: of(|sample| sample.user_us),
            kernel_us: of(|sample| sample.kernel_us),
            cpu_s_per_gb: cpu_us.median * 1e3 / stage.work.body() as f64,
            per_second: of(Sample::per_second).median,
            rate,
            p50_us: Quartiles::of(self.paced.iter().map(|seen| seen.p50_us)).median,
            p99_us: Quartiles::of(self.paced.iter().map(|seen| seen.p99_us)).median,
            resident_mib: of(|sample| sample.resident_mib).median,
            load_busy: of(|sample| sample.load_busy).median,
            failed: failed.chain(self.paced.iter().map(|seen| seen.failed)).sum(),
            weir_ratio: (self.subject != Subject::Weir && !own.is_empty()).then(|| Quartiles::of(ratios)),
        }
    }
}

/// The mean of a round's two measurements.
fn per_round(samples: &[Sample]) -> Vec<f64> {
    samples.chunks(2).map(|pair| pair.iter().map(Sample::cpu_us).sum::<f64>() / pair.len() as f64).collect()
}

/// A rate that this one sustains.
pub(crate) fn sustained(stage: &Stage, running: &Running, seconds: f64) -> Result<f64> {
    Ok(two_digits(pressed(stage, running, seconds)?.per_second() * SUSTAINED))
}

/// A rate that the slowest of them sustains.
fn slowest(places: &[Place]) -> f64 {
    let pressed = places.iter().filter(|place| !place.pressed.is_empty());
    let slowest = pressed
        .map(|place| Quartiles::of(place.pressed.iter().map(Sample::per_second)).median)
        .fold(f64::INFINITY, f64::min);
    two_digits(slowest * SUSTAINED)
}

fn two_digits(rate: f64) -> f64 {
    if !rate.is_finite() || rate <= 1.0 {
        return 1.0;
    }
    let unit = 10f64.powf(rate.log10().floor() - 1.0);
    (rate / unit).floor() * unit
}

/// As many requests as the subject answers.
fn pressed(stage: &Stage, running: &Running, seconds: f64) -> Result<Sample> {
    let mut load = stage.load(running.address, stage.work.width())?;
    load.args(["--warm", &WARM.min(seconds).to_string(), "--seconds", &seconds.to_string()]);
    let (seen, before) = loaded(load, || Ok((cpu::of(running.id())?, stage.origins_cpu()?)))?;
    let spent = cpu::of(running.id())?.since(before.0);
    let origins = stage.origins_cpu()? - before.1;
    ensure!(seen.requests > 0, "nothing was answered");
    let per_request = 1e6 / seen.requests as f64;
    Ok(Sample {
        user_us: spent.user * per_request,
        kernel_us: spent.kernel * per_request,
        load_busy: (origins + seen.own_cpu) / seen.seconds,
        resident_mib: cpu::resident(running.id())?,
        seen,
    })
}

/// So many requests per second, whatever becomes of them.
pub(crate) fn paced(stage: &Stage, running: &Running, seconds: f64, rate: f64) -> Result<Seen> {
    let mut load = stage.load(running.address, stage.work.width())?;
    load.args([
        "--warm",
        &WARM.min(seconds).to_string(),
        "--seconds",
        &seconds.to_string(),
        "--rate",
        &rate.to_string(),
    ]);
    Ok(loaded(load, || Ok(()))?.0)
}

/// Runs a load: what it saw, and what there was to note when counting began.
pub(crate) fn loaded<T>(mut load: Command, begins: impl FnOnce() -> Result<T>) -> Result<(Seen, T)> {
    let mut child = load.stdout(Stdio::piped()).spawn().context("starting the load")?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let mut line = || lines.next().context("the load ended early")?.context("the load's output");
    ensure!(line()? == "begin", "the load said something else");
    let noted = begins()?;
    let seen = serde_json::from_str(&line()?)?;
    ensure!(child.wait()?.success(), "the load failed");
    Ok((seen, noted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits_and_are_never_more() {
        for (rate, told) in [(12_789.0, 12_000.0), (999.0, 990.0), (47.3, 47.0), (3.19, 3.1), (0.0, 1.0)] {
            assert!((two_digits(rate) - told).abs() < 1e-6, "{rate}: {}", two_digits(rate));
        }
    }

    #[test]
    fn quartiles_lie_between_their_neighbours() {
        let of = Quartiles::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!((of.p25, of.median, of.p75), (1.75, 2.5, 3.25));
    }
}
