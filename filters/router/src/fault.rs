//! Faults made on purpose: some exchanges wait, some are aborted.

use std::time::Duration;

use crate::config::FaultConfig;

#[derive(Debug)]
pub(crate) struct Fault {
    delay: Option<(Duration, Share)>,
    abort: Option<(u16, Share)>,
}

/// What befalls one exchange.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dealt {
    pub(crate) delay: Option<Duration>,
    pub(crate) abort: Option<u16>,
}

/// A share of all exchanges, in parts of 2^32.
#[derive(Debug, Clone, Copy)]
struct Share(u64);

impl Share {
    fn percent(percent: f64) -> Result<Self, String> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("{percent} is no percentage"));
        }
        Ok(Share((percent / 100.0 * (1_u64 << 32) as f64).round() as u64))
    }

    fn hits(self, random: u32) -> bool {
        u64::from(random) < self.0
    }
}

impl Fault {
    pub(crate) fn new(config: &FaultConfig) -> Result<Self, String> {
        if config.delay.is_none() && config.abort.is_none() {
            return Err("`delay` or `abort` is missing".to_owned());
        }
        if config.abort.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("`abort` is a status from 200 to 599".to_owned());
        }
        let (delayed, aborted) =
            (Share::percent(config.delay_percent)?, Share::percent(config.abort_percent)?);
        Ok(Fault {
            delay: config.delay.map(|delay| (delay.0, delayed)),
            abort: config.abort.map(|status| (status, aborted)),
        })
    }

    /// Delay and abort are drawn apart, from the two halves of a random number.
    pub(crate) fn draw(&self, random: u64) -> Dealt {
        let (high, low) = ((random >> 32) as u32, random as u32);
        Dealt {
            delay: self.delay.filter(|(_, share)| share.hits(high)).map(|(delay, _)| delay),
            abort: self.abort.filter(|(_, share)| share.hits(low)).map(|(status, _)| status),
        }
    }
}
