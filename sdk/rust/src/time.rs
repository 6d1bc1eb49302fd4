//! How durations and points in time are written in a filter's config: the same way in every filter,
//! and durations as in the proxy's own configuration.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration in config: a whole number with a unit, `"500us"`, `"250ms"`, `"10s"`, `"5m"`, `"2h"`, `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds, for defaults.
    pub const fn seconds(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }

    /// In whole milliseconds.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// None if it is written otherwise or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let number: u64 = number.parse().ok()?;
        let micros = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        Some(Span(Duration::from_micros(number.checked_mul(micros)?)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Written(Self::parse, "a duration as \"250ms\", \"10s\" or \"5m\""))
    }
}

/// A point in time in config: `"2026-03-01T12:00:00Z"` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Unix time, in ms.
    pub unix_ms: u64,
}

impl Moment {
    /// None if it is not RFC 3339, or before 1970. A leap second is the second after it.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = (text.get(..10)?, text.get(10..)?);
        let time = rest.strip_prefix(['T', 't', ' '])?;
        let (clock, rest) = (time.get(..8)?, time.get(8..)?);
        let [year, month, day] = numbers(date, b'-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(clock, b':', [2, 2, 2])?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (millis, zone) = fraction(rest)?;
        let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        let unix_ms = (seconds - offset(zone)? * 60) * 1_000 + millis;
        Some(Moment { unix_ms: u64::try_from(unix_ms).ok()? })
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Written(Self::parse, "a time as \"2026-03-01T12:00:00Z\" (RFC 3339)"))
    }
}

/// Reads text by a parser; what was expected is the second.
struct Written<T>(fn(&str) -> Option<T>, &'static str);

impl<T> de::Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// Three numbers of fixed widths with a separator between.
fn numbers(text: &str, separator: u8, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(char::from(separator));
    let mut found = [0; 3];
    for (number, width) in found.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// Milliseconds of `.123...`, and what follows.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    if end == 0 {
        return None;
    }
    let millis = digits
        .bytes()
        .take(end)
        .chain([b'0'; 2])
        .take(3)
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((millis, &digits[end..]))
}

/// Minutes east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let (sign, clock) = match zone.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let [hour, minute, _] = numbers(&format!("{clock}:00"), b':', [2, 2, 2])?;
    (hour < 24 && minute < 60).then_some(sign * (hour * 60 + minute))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// By the proleptic Gregorian calendar: years begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        for (text, micros) in [
            ("0s", Some(0)),
            ("500us", Some(500)),
            ("250ms", Some(250_000)),
            ("5m", Some(300_000_000)),
            ("2h", Some(7_200_000_000)),
            ("7d", Some(604_800_000_000)),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(Span::parse(text).map(|span| span.0.as_micros()), micros, "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_as_rfc_3339_says() {
        for (text, unix_ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000_000)),
            ("2023-11-14 17:43:20.25-04:30", Some(1_700_000_000_250)),
            ("2000-02-29t00:00:00.1239z", Some(951_782_400_123)),
            ("2100-02-29T00:00:00Z", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-00-01T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T00:00:00", None),
            ("2023-01-01T00:00:00.Z", None),
            ("2023-01-01T00:00:00+0100", None),
            ("2023-01-01", None),
            ("2023-1-01T00:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("ééééééééé", None),
        ] {
            assert_eq!(Moment::parse(text).map(|moment| moment.unix_ms), unix_ms, "{text}");
        }
    }

    #[test]
    fn an_error_says_what_is_expected() {
        let error = serde_json::from_str::<Span>("\"10\"").unwrap_err().to_string();
        assert!(error.contains("10s"), "{error}");
        assert!(serde_json::from_str::<Span>("10").is_err());
        assert!(serde_json::from_str::<Moment>("\"soon\"").unwrap_err().to_string().contains("RFC 3339"));
    }
}
