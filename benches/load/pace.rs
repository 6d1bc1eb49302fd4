//! The pace of an open loop: when each request is due, whatever became of those before; and clocks that wake then,
//! because the timeouts of event loops are whole milliseconds.

use std::{
    os::fd::{AsRawFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// So many requests per second.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: f64,
    began: Instant,
    sent: u64,
}

impl Pace {
    /// From now on.
    pub(crate) fn new(rate: f64) -> Result<Self> {
        ensure!(rate.is_finite() && rate > 0.0, "{rate} requests per second are no rate");
        Ok(Self { rate, began: Instant::now(), sent: 0 })
    }

    /// The planned moment of the next request, if it has come: latencies count from there, not from when
    /// somebody was free to send.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        let planned = self.planned();
        (planned <= now).then(|| {
            self.sent += 1;
            planned
        })
    }

    /// How long it is until then.
    fn wait(&self) -> Duration {
        self.planned().saturating_duration_since(Instant::now())
    }

    fn planned(&self) -> Instant {
        self.began + Duration::from_secs_f64(self.sent as f64 / self.rate)
    }

    /// The planned moments, each told when it comes by a thread of its own, until nobody listens.
    pub(crate) fn told(mut self) -> UnboundedReceiver<Instant> {
        let (tell, told) = unbounded_channel();
        std::thread::spawn(move || {
            loop {
                while let Some(planned) = self.due(Instant::now()) {
                    if tell.send(planned).is_err() {
                        return;
                    }
                }
                std::thread::sleep(self.wait());
            }
        });
        told
    }
}

/// A descriptor that becomes readable when the next request is due.
#[derive(Debug)]
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    pub(crate) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    pub(crate) fn set(&self, pace: &Pace) -> Result<()> {
        // Nothing at all would stop the clock.
        let wait = pace.wait().max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_in_time_stays_due_from_its_planned_moment() {
        let mut pace = Pace::new(1_000.0).unwrap();
        let began = pace.began;
        let late = began + Duration::from_millis(3);
        let planned: Vec<_> = std::iter::from_fn(|| pace.due(late)).map(|at| at - began).collect();
        assert_eq!(planned, [0, 1, 2, 3].map(Duration::from_millis));
        assert!(pace.due(late).is_none());
    }

    #[test]
    fn there_is_no_rate_of_nothing() {
        assert!(Pace::new(0.0).is_err() && Pace::new(f64::NAN).is_err());
    }

    #[test]
    fn moments_are_told_in_their_order() {
        let mut told = Pace::new(10_000.0).unwrap().told();
        let moments: Vec<_> = (0..5).map(|_| told.blocking_recv().unwrap()).collect();
        assert!(moments.is_sorted() && *moments.last().unwrap() <= Instant::now());
    }
}
