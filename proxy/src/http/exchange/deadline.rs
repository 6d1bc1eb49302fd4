//! The deadline that a caller brings along: how it is read, and how it is passed on with what is left of it.
//!
//! A call that its caller has given up is work for nothing, and so is all that it has others do. So what is left
//! shrinks from hop to hop: `grpc-timeout` (gRPC over HTTP/2, "Requests"), and `x-request-timeout` for all else.

use std::{fmt::Write, time::Duration};

use tokio::time::Instant;
use weir_config::checked::RequestTimeouts;

use super::{Exchange, retry::Tries};
use crate::{
    error::Failure,
    message::{Fields, Known, KnownSet},
};

/// The fields that bring one.
const FIELDS: KnownSet = KnownSet::of(&[Known::GrpcTimeout, Known::XRequestTimeout]);

/// Units of `grpc-timeout`, in nanoseconds.
const GRPC_UNITS: [(u8, u64); 6] = [
    (b'H', 3_600_000_000_000),
    (b'M', 60_000_000_000),
    (b'S', 1_000_000_000),
    (b'm', 1_000_000),
    (b'u', 1_000),
    (b'n', 1),
];

/// Units of `x-request-timeout`, in nanoseconds; of two that both end a text, the longer comes first.
const UNITS: [(&str, u64); 5] =
    [("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

/// How long the caller waits, counted from now, if it says so and is to be heeded.
pub(super) fn of_caller(fields: &mut Fields, mode: RequestTimeouts) -> Option<Duration> {
    if !fields.may_have(FIELDS) {
        return None;
    }
    match mode {
        RequestTimeouts::Pass => None,
        RequestTimeouts::Drop => {
            fields.remove_known(Known::GrpcTimeout);
            fields.remove_known(Known::XRequestTimeout);
            None
        }
        RequestTimeouts::Honour => {
            let grpc = fields.all_known(Known::GrpcTimeout).filter_map(read_grpc);
            grpc.chain(fields.all_known(Known::XRequestTimeout).filter_map(read)).min()
        }
    }
}

impl Exchange<'_> {
    /// Passes the caller's deadline on, with what is left for this attempt.
    pub(super) fn pass_deadline(&mut self, tries: &Tries<'_>, now: Instant) -> Result<(), Failure> {
        let per_try = tries.terms.per_try_timeout().unwrap_or(Duration::MAX);
        let left = tries.ends.saturating_duration_since(now).min(per_try);
        if left < Duration::from_millis(1) {
            let callers = tries.caller_until == Some(tries.ends);
            return Err(if callers { Failure::CallerDeadline } else { Failure::ExchangeTimeout });
        }
        let fields = &mut self.heads.request.head.fields;
        // What cannot be read is for the endpoint to judge.
        if fields.get_known(Known::GrpcTimeout).and_then(read_grpc).is_some() {
            fields.set_known(Known::GrpcTimeout, written_grpc(left).as_bytes());
        }
        if fields.get_known(Known::XRequestTimeout).and_then(read).is_some() {
            fields.set_known(Known::XRequestTimeout, written(left).as_bytes());
        }
        Ok(())
    }
}

/// At most eight digits, and a unit.
fn read_grpc(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (_, nanos) = GRPC_UNITS.iter().find(|(name, _)| name == unit)?;
    Some(Duration::from_nanos(number.saturating_mul(*nanos)))
}

fn written_grpc(left: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let (micros, millis) = (left.as_micros(), left.as_millis());
    if micros <= MOST {
        format!("{micros}u")
    } else if millis <= MOST {
        format!("{millis}m")
    } else {
        format!("{}S", u128::from(left.as_secs()).min(MOST))
    }
}

fn read(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let (digits, nanos) = UNITS.iter().find_map(|(unit, nanos)| Some((text.strip_suffix(unit)?, *nanos)))?;
    if digits.is_empty() || digits.len() > 12 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_nanos(digits.parse::<u64>().ok()?.saturating_mul(nanos)))
}

fn written(left: Duration) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{}ms", left.as_millis());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_in_all_units_and_nothing_else_is() {
        for (text, nanos) in [
            ("2H", 7_200_000_000_000),
            ("3M", 180_000_000_000),
            ("15S", 15_000_000_000),
            ("250m", 250_000_000),
            ("7u", 7_000),
            ("99999999n", 99_999_999),
            ("0n", 0),
        ] {
            assert_eq!(read_grpc(text.as_bytes()), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "1.5S", "+1S", "123456789n", "1 S", "1SS", "\u{663}S"] {
            assert_eq!(read_grpc(text.as_bytes()), None, "{text}");
        }
        // Longer than all time is still a time.
        assert_eq!(read_grpc(b"99999999H"), Some(Duration::from_nanos(u64::MAX)));
    }

    #[test]
    fn other_timeouts_have_units_too() {
        for (text, millis) in
            [("250ms", 250), ("2s", 2_000), ("1m", 60_000), ("1h", 3_600_000), ("5000us", 5)]
        {
            assert_eq!(read(text.as_bytes()), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "ms", "250", "-1s", "1.5s", "1 s", "1d", "9999999999999s"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_left_is_never_written_longer_than_it_is() {
        for nanos in [1_000_000, 1_999_999, 99_999_999_999, 100_000_000_000, 123_456_789_123_456] {
            let left = Duration::from_nanos(nanos);
            for back in [read_grpc(written_grpc(left).as_bytes()), read(written(left).as_bytes())] {
                let back = back.unwrap_or_else(|| panic!("{left:?}"));
                assert!(
                    back <= left && left - back < Duration::from_secs(1).max(left / 50),
                    "{left:?}: {back:?}"
                );
            }
        }
    }
}
