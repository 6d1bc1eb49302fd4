//! Whether an endpoint is used: [`Standing`], one for each endpoint, shared by all workers and by all lists that hold
//! the endpoint. It is written when something changes and read whenever something is out.

use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::Nanos;

/// Bits of `out`: the endpoint was ejected for how its answers are, and found unhealthy by checks.
const EJECTED: u8 = 1;
const UNHEALTHY: u8 = 2;
/// A request is under way that tells whether the endpoint comes back.
const PROBED: u8 = 4;

/// It was in use before anybody looked: it takes its whole share.
const ALWAYS: Nanos = 0;
/// It came into use, and nobody has looked since: the next look dates it.
const UNSEEN: Nanos = Nanos::MAX;

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// So many failures in a row.
    Consecutive = 1,
    /// Far fewer of its answers were good than of the others'.
    SuccessRate = 2,
    /// The request that was to bring it back failed.
    Probe = 3,
}

/// What is known of an endpoint's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It is used.
    In,
    /// It is not used, for this reason, for so long; zero: until one request tells that it is well.
    Ejected(Reason, Duration),
    /// It is not used until checks find it healthy.
    Unhealthy,
}

/// See the module. On cache lines of its own: what lies beside it is written by each attempt.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Standing {
    out: AtomicU8,
    reason: AtomicU8,
    /// Failures in a row.
    pub(crate) failures: AtomicU32,
    /// Ejections that are not forgotten.
    pub(crate) ejections: AtomicU32,
    /// When the last ejection ends or ended.
    pub(crate) until: AtomicU64,
    /// Good and bad answers since the last look; only where rates are compared.
    pub(crate) good: AtomicU32,
    pub(crate) bad: AtomicU32,
    /// When it came into use, for [`SlowStart`](crate::SlowStart).
    entered: AtomicU64,
}

impl Standing {
    /// Whether it is not used, whatever the reason.
    pub fn is_out(&self) -> bool {
        self.out.load(Relaxed) & (EJECTED | UNHEALTHY) != 0
    }

    /// Whether checks found it unhealthy.
    pub fn is_unhealthy(&self) -> bool {
        self.out.load(Relaxed) & UNHEALTHY != 0
    }

    /// Whether it is ejected.
    pub fn is_ejected(&self) -> bool {
        self.out.load(Relaxed) & EJECTED != 0
    }

    /// What to tell people.
    pub fn health(&self, now: Nanos) -> Health {
        let out = self.out.load(Relaxed);
        let left = Duration::from_nanos(self.until.load(Relaxed).saturating_sub(now));
        match (out & EJECTED != 0, out & UNHEALTHY != 0) {
            (true, _) => Health::Ejected(self.reason(), left),
            (false, true) => Health::Unhealthy,
            (false, false) => Health::In,
        }
    }

    /// How often it was ejected, as far as that is not forgotten.
    pub fn ejections(&self) -> u32 {
        self.ejections.load(Relaxed)
    }

    /// What checks found. Says whether that is new.
    pub fn find(&self, healthy: bool) -> bool {
        let before = if healthy {
            self.out.fetch_and(!UNHEALTHY, Relaxed)
        } else {
            self.out.fetch_or(UNHEALTHY, Relaxed)
        };
        let new = (before & UNHEALTHY == 0) != healthy;
        if new && healthy && before & EJECTED == 0 {
            self.enter();
        }
        new
    }

    /// It comes into use now: it has just joined, or is back.
    pub fn enter(&self) {
        self.entered.store(UNSEEN, Relaxed);
    }

    /// It is not new any more.
    pub fn settle(&self) {
        self.entered.store(ALWAYS, Relaxed);
    }

    /// Whether it came into use, and was not [settled](Self::settle) since.
    pub fn is_new(&self) -> bool {
        self.entered.load(Relaxed) != ALWAYS
    }

    /// For how long it has been in use; none: it always was.
    pub(crate) fn in_use_for(&self, now: Nanos) -> Option<Nanos> {
        match self.entered.load(Relaxed) {
            ALWAYS => None,
            UNSEEN => {
                // Whoever else dates it has looked at the same time.
                let _ = self.entered.compare_exchange(UNSEEN, now.clamp(1, UNSEEN - 1), Relaxed, Relaxed);
                Some(0)
            }
            entered => Some(now.saturating_sub(entered)),
        }
    }

    /// The same for whoever takes its place: a probe that is under way tells only of this one.
    pub fn continued(&self) -> Self {
        let copy = |number: &AtomicU32| AtomicU32::new(number.load(Relaxed));
        Self {
            out: AtomicU8::new(self.out.load(Relaxed) & !PROBED),
            reason: AtomicU8::new(self.reason.load(Relaxed)),
            failures: copy(&self.failures),
            ejections: copy(&self.ejections),
            until: AtomicU64::new(self.until.load(Relaxed)),
            good: copy(&self.good),
            bad: copy(&self.bad),
            entered: AtomicU64::new(self.entered.load(Relaxed)),
        }
    }

    /// Takes it out. False: it is out already.
    pub(crate) fn eject(&self, reason: Reason) -> bool {
        let before = self.out.fetch_or(EJECTED, Relaxed);
        if before & EJECTED != 0 {
            return false;
        }
        self.reason.store(reason as u8, Relaxed);
        true
    }

    /// Lets it in again. False: it was not ejected.
    pub(crate) fn readmit(&self) -> bool {
        let before = self.out.fetch_and(!(EJECTED | PROBED), Relaxed);
        if before & (EJECTED | UNHEALTHY) == EJECTED {
            self.enter();
        }
        before & EJECTED != 0
    }

    /// It is out for another time, since its probe failed.
    pub(crate) fn extend(&self) {
        self.reason.store(Reason::Probe as u8, Relaxed);
        self.out.fetch_and(!PROBED, Relaxed);
    }

    /// Whether a probe could be taken when the time has come.
    pub(crate) fn may_be_probed(&self) -> bool {
        self.out.load(Relaxed) & (EJECTED | PROBED | UNHEALTHY) == EJECTED
    }

    /// Takes the one probe. False: it is not ejected, or another one is under way.
    pub(crate) fn take_probe(&self) -> bool {
        let taken = self.out.fetch_update(Relaxed, Relaxed, |out| {
            (out & (EJECTED | PROBED | UNHEALTHY) == EJECTED).then_some(out | PROBED)
        });
        taken.is_ok()
    }

    /// The probe told nothing: there may be another one.
    pub(crate) fn give_probe_back(&self) {
        self.out.fetch_and(!PROBED, Relaxed);
    }

    fn reason(&self) -> Reason {
        match self.reason.load(Relaxed) {
            2 => Reason::SuccessRate,
            3 => Reason::Probe,
            _ => Reason::Consecutive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejection_and_checks_are_told_apart() {
        let standing = Standing::default();
        assert!(standing.eject(Reason::Consecutive) && !standing.eject(Reason::SuccessRate));
        assert!(standing.find(false) && !standing.find(false), "only what is new counts");
        assert!(standing.readmit() && standing.is_out(), "checks have not found it healthy");
        assert_eq!(standing.health(0), Health::Unhealthy);
        assert!(standing.find(true) && !standing.find(true) && !standing.is_out());
    }

    #[test]
    fn it_is_new_when_nothing_keeps_it_out_any_more() {
        let standing = Standing::default();
        assert!(!standing.is_new());
        standing.find(false);
        standing.eject(Reason::Consecutive);
        standing.find(true);
        assert!(!standing.is_new(), "it is ejected still");
        standing.readmit();
        assert!(standing.is_new());
        assert_eq!((standing.in_use_for(7), standing.in_use_for(10)), (Some(0), Some(3)));
        standing.settle();
        assert!(!standing.is_new() && standing.in_use_for(11).is_none());
    }

    #[test]
    fn whoever_takes_its_place_is_out_as_it_was_and_can_be_probed() {
        let standing = Standing::default();
        standing.eject(Reason::SuccessRate);
        standing.until.store(50, Relaxed);
        assert!(standing.take_probe());
        let next = standing.continued();
        assert_eq!(next.health(0), Health::Ejected(Reason::SuccessRate, Duration::from_nanos(50)));
        assert!(next.take_probe() && next.readmit() && standing.is_out());
    }

    #[test]
    fn there_is_one_probe_at_a_time_and_none_of_what_checks_call_unhealthy() {
        let standing = Standing::default();
        assert!(!standing.take_probe(), "nothing to find out");
        standing.eject(Reason::Consecutive);
        assert!(standing.take_probe() && !standing.take_probe());
        standing.give_probe_back();
        standing.find(false);
        assert!(!standing.take_probe());
        standing.find(true);
        assert!(standing.take_probe());
    }
}
