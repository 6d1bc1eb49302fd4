//! What is known of one endpoint's load: attempts in flight, and a moving average of its latency that believes
//! bad news at once and good news slowly.
//!
//! Peak EWMA as in Finagle and Linkerd: an answer slower than the estimate becomes the estimate; a faster one
//! pulls it down by as much as time has passed, `e^(-elapsed / decay)`. Between answers the estimate decays
//! towards nothing, so an endpoint that was slow once is tried again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Nanos;

/// What a refusal or failure without better knowledge counts as.
const REFUSAL: Duration = Duration::from_secs(5);
/// The most that a refusal may ask for.
const LONGEST_HOLD: Duration = Duration::from_secs(300);
/// The least estimate, nanoseconds. Above zero so that attempts in flight still tell idle endpoints apart.
const LEAST_ESTIMATE: f64 = 1_000.0;
/// Parts of `decay` in which an estimate's age is counted: 0.15 ms of 10 s.
const TICKS_PER_DECAY: f64 = 65_536.0;

/// How an attempt ended, as far as it says something about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It answered, whatever the status.
    Answered {
        /// From sending the request to the head of the response.
        rtt: Duration,
    },
    /// It turned the request away (429, RESOURCE_EXHAUSTED), which must not look like a fast answer.
    Refused {
        /// Its `Retry-After`, or zero when it named none: 5 s. More than 300 s counts as 300 s.
        hold: Duration,
    },
    /// No connection, a reset, no response in time: counts as 5 s.
    Failed,
    /// Given up on this side, for reasons of its own (the client went, another attempt won).
    Cancelled {
        /// For how long it had not answered. Can only raise the estimate.
        after: Duration,
    },
}

/// The load of one endpoint, shared by all workers and by all lists that hold the endpoint.
///
/// On cache lines of its own (two: x86-64 fetches them in pairs), so that workers which write one endpoint do not
/// slow those that read its neighbour.
#[derive(Debug)]
#[repr(align(128))]
pub struct Load {
    in_flight: AtomicU32,
    /// An [`Estimate`], or 0 before the first look.
    estimate: AtomicU64,
    default_rtt: f32,
    ticks_per_nano: f64,
}

impl Load {
    /// An endpoint of which nothing is known: its estimate starts at `default_rtt` (30 ms is usual) when it is
    /// first looked at, and moves over `decay` (10 s is usual).
    pub fn new(default_rtt: Duration, decay: Duration) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            estimate: AtomicU64::new(0),
            default_rtt: nanos(default_rtt) as f32,
            ticks_per_nano: TICKS_PER_DECAY / nanos(decay),
        }
    }

    /// Whether both were made for the same latency and memory.
    pub fn estimates_as(&self, other: &Self) -> bool {
        (self.default_rtt, self.ticks_per_nano) == (other.default_rtt, other.ticks_per_nano)
    }

    /// The same for whoever takes its place: it is as fast, and nothing is under way there.
    pub fn continued(&self) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            estimate: AtomicU64::new(self.estimate.load(Relaxed)),
            default_rtt: self.default_rtt,
            ticks_per_nano: self.ticks_per_nano,
        }
    }

    /// An attempt begins. Each is followed by one [`end`](Self::end).
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// An attempt has ended like this.
    pub fn end(&self, now: Nanos, ended: Ended) {
        let before = self.in_flight.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "an attempt ended that never began");
        if before == 0 {
            self.in_flight.fetch_add(1, Relaxed);
        }
        match ended {
            Ended::Answered { rtt } => self.observe(now, rtt),
            Ended::Refused { hold } if hold.is_zero() => self.raise(now, REFUSAL),
            Ended::Refused { hold } => self.raise(now, hold.min(LONGEST_HOLD)),
            Ended::Failed => self.raise(now, REFUSAL),
            Ended::Cancelled { after } => self.raise(now, after),
        }
    }

    /// Attempts begun and not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The latency to expect.
    pub fn ewma(&self, now: Nanos) -> Duration {
        Duration::from_nanos(self.expected(now) as u64)
    }

    /// What one more attempt would meet: `ewma * (in_flight + 1)`, in nanoseconds. Less is better.
    pub fn score(&self, now: Nanos) -> f64 {
        self.expected(now) * (f64::from(self.in_flight()) + 1.0)
    }

    /// The estimate as it has decayed until now, nanoseconds.
    pub(crate) fn expected(&self, now: Nanos) -> f64 {
        let (_, estimate) = self.look(now);
        self.decayed(estimate, self.tick(now))
    }

    fn observe(&self, now: Nanos, rtt: Duration) {
        let rtt = nanos(rtt);
        let tick = self.tick(now);
        let (mut word, mut estimate) = self.look(now);
        loop {
            let kept = self.decayed(estimate, tick);
            let next = if rtt > kept {
                rtt
            } else {
                let elapsed = elapsed(estimate.tick, tick);
                if elapsed == 0.0 {
                    return; // weighs nothing yet; the next answer carries the time
                }
                kept - rtt * (-elapsed / TICKS_PER_DECAY).exp_m1()
            };
            match self.replace(word, Estimate::new(next, tick)) {
                Ok(()) => return,
                Err(other) => (word, estimate) = (other, Estimate::unpack(other)),
            }
        }
    }

    /// Bad news without a measurement: lifts the estimate, never lowers it.
    fn raise(&self, now: Nanos, cost: Duration) {
        let cost = nanos(cost);
        let tick = self.tick(now);
        let (mut word, mut estimate) = self.look(now);
        while cost > self.decayed(estimate, tick) {
            match self.replace(word, Estimate::new(cost, tick)) {
                Ok(()) => return,
                Err(other) => (word, estimate) = (other, Estimate::unpack(other)),
            }
        }
    }

    /// The estimate with the word it was read from. The first look at an endpoint starts the decay of its default.
    fn look(&self, now: Nanos) -> (u64, Estimate) {
        let word = self.estimate.load(Relaxed);
        if word != 0 {
            return (word, Estimate::unpack(word));
        }
        let first = Estimate { nanos: self.default_rtt, tick: self.tick(now) };
        match self.replace(0, first) {
            Ok(()) => (first.pack(), first),
            Err(other) => (other, Estimate::unpack(other)),
        }
    }

    fn replace(&self, word: u64, next: Estimate) -> Result<(), u64> {
        self.estimate.compare_exchange(word, next.pack(), Relaxed, Relaxed).map(|_| ())
    }

    fn decayed(&self, estimate: Estimate, tick: u32) -> f64 {
        let kept = (-elapsed(estimate.tick, tick) / TICKS_PER_DECAY).exp();
        (f64::from(estimate.nanos) * kept).max(LEAST_ESTIMATE)
    }

    fn tick(&self, now: Nanos) -> u32 {
        (now as f64 * self.ticks_per_nano) as u64 as u32
    }
}

/// An estimate and its age in one word, so that no reader sees one without the other.
#[derive(Clone, Copy)]
struct Estimate {
    nanos: f32,
    /// When it was made; wraps around after 65,536 decays (7.6 days of 10 s).
    tick: u32,
}

impl Estimate {
    fn new(nanos: f64, tick: u32) -> Self {
        Self { nanos: nanos as f32, tick }
    }

    fn pack(self) -> u64 {
        u64::from(self.nanos.to_bits()) << 32 | u64::from(self.tick)
    }

    fn unpack(word: u64) -> Self {
        Self { nanos: f32::from_bits((word >> 32) as u32), tick: word as u32 }
    }
}

/// Ticks from one to the other; none if `to` comes from a worker whose clock lags.
fn elapsed(from: u32, to: u32) -> f64 {
    f64::from((to.wrapping_sub(from) as i32).max(0))
}

fn nanos(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e9).max(LEAST_ESTIMATE)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
