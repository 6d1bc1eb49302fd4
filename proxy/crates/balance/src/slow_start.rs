//! Slow start: an endpoint that comes into use takes its share of the traffic little by little, since caches are
//! empty, connections are to be made and code is to be compiled there (Envoy's slow start mode, with its linear growth
//! and least weight). It stands apart from the picker, which only asks for the part that an endpoint takes.

use std::time::Duration;

use crate::{Nanos, Standing};

/// What it begins with: less would keep a newcomer cold.
const LEAST: f64 = 0.1;

/// How newcomers of a list are eased in.
#[derive(Debug, Clone, Copy)]
pub struct SlowStart {
    nanos: Nanos,
}

impl SlowStart {
    /// A newcomer takes its whole share after this time.
    pub fn new(time: Duration) -> Self {
        Self { nanos: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1) }
    }

    /// The part of its weight that an endpoint takes now, 0.1 to 1.
    pub fn part(&self, standing: &Standing, now: Nanos) -> f64 {
        match standing.in_use_for(now) {
            Some(time) if time < self.nanos => (time as f64 / self.nanos as f64).max(LEAST),
            _ => 1.0,
        }
    }

    /// Forgets that an endpoint was new when its time is over. Says whether it is new still.
    pub fn look(&self, standing: &Standing, now: Nanos) -> bool {
        let new = standing.in_use_for(now).is_some_and(|time| time < self.nanos);
        if !new && standing.is_new() {
            standing.settle();
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_begins_with_a_tenth_and_grows_to_the_whole() {
        let (slow, standing) = (SlowStart::new(Duration::from_nanos(1000)), Standing::default());
        assert_eq!(slow.part(&standing, 5), 1.0, "it always was there");
        standing.enter();
        let parts = [100, 150, 300, 600, 1099, 1100, 5000].map(|now| slow.part(&standing, now));
        assert_eq!(parts, [0.1, 0.1, 0.2, 0.5, 0.999, 1.0, 1.0]);
        assert!(slow.look(&standing, 1099) && !slow.look(&standing, 1100) && !standing.is_new());
    }
}
