//! The breaker's state in one shared number, so that every change is one compare-and-exchange and the
//! usual request costs one load.

/// From the lowest bit: until (44 bits, Unix ms: to the year 2527), openings in a row (6), epoch (11),
/// phase (2). The sign bit stays free; 0, what a new cell holds, is closed.
const UNTIL_BITS: u32 = 44;
const OPENINGS_BITS: u32 = 6;
const EPOCH_BITS: u32 = 11;
const OPENINGS_AT: u32 = UNTIL_BITS;
const EPOCH_AT: u32 = OPENINGS_AT + OPENINGS_BITS;
const PHASE_AT: u32 = EPOCH_AT + EPOCH_BITS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Counts closings, so that what began before the breaker last opened can be told from what began
    /// after it closed. Wraps.
    pub(crate) epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Closed,
    /// Nothing goes through until then.
    Open {
        openings: u32,
        until_ms: u64,
    },
    /// One request is under way to find out; given up as lost then.
    Probing {
        openings: u32,
        until_ms: u64,
    },
}

impl State {
    /// What a cell or a memo holds.
    pub(crate) fn unpack(packed: i64) -> Self {
        let packed = packed as u64;
        let part = |at: u32, bits: u32| packed >> at & ((1 << bits) - 1);
        let (openings, until_ms) = (part(OPENINGS_AT, OPENINGS_BITS) as u32, part(0, UNTIL_BITS));
        let phase = match part(PHASE_AT, 2) {
            1 => Phase::Open { openings, until_ms },
            2 => Phase::Probing { openings, until_ms },
            _ => Phase::Closed,
        };
        State { phase, epoch: part(EPOCH_AT, EPOCH_BITS) }
    }

    pub(crate) fn pack(self) -> i64 {
        let (phase, openings, until_ms) = match self.phase {
            Phase::Closed => (0, 0, 0),
            Phase::Open { openings, until_ms } => (1, openings, until_ms),
            Phase::Probing { openings, until_ms } => (2, openings, until_ms),
        };
        let openings = u64::from(openings).min((1 << OPENINGS_BITS) - 1);
        let until_ms = until_ms.min((1 << UNTIL_BITS) - 1);
        let epoch = self.epoch & ((1 << EPOCH_BITS) - 1);
        (phase << PHASE_AT | epoch << EPOCH_AT | openings << OPENINGS_AT | until_ms) as i64
    }

    pub(crate) fn with(self, phase: Phase) -> Self {
        State { phase, ..self }
    }

    /// Closed again, in a new epoch.
    pub(crate) fn closed(self) -> Self {
        State { phase: Phase::Closed, epoch: self.epoch.wrapping_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cell_is_closed() {
        assert_eq!(State::unpack(0), State { phase: Phase::Closed, epoch: 0 });
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let until_ms = 1_900_000_000_123;
        for phase in [
            Phase::Closed,
            Phase::Open { openings: 1, until_ms },
            Phase::Probing { openings: 63, until_ms: (1 << UNTIL_BITS) - 1 },
        ] {
            for epoch in [0, 1, 2_047] {
                let state = State { phase, epoch };
                assert!(state.pack() >= 0);
                assert_eq!(State::unpack(state.pack()), state);
            }
        }
    }

    #[test]
    fn what_is_too_large_is_cut_and_spoils_nothing() {
        let state = State { phase: Phase::Open { openings: 1_000, until_ms: u64::MAX }, epoch: 2_048 };
        let unpacked = State::unpack(state.pack());
        assert_eq!(unpacked.epoch, 0);
        assert_eq!(unpacked.phase, Phase::Open { openings: 63, until_ms: (1 << UNTIL_BITS) - 1 });
    }
}
