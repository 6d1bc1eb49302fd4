//! Values with a syntax of their own: what they have in common, and the two that are quantities.
//!
//! Each knows how it is written, which makes it a schema (`format`), a check with a helpful answer, and serde.

use std::{fmt::Display, time};

/// A value that is one text (or one whole number) in the file.
pub(crate) trait Leaf: Sized + Display {
    /// Names the syntax: the schema's `format`, and in words when something else was found.
    const FORMAT: &'static str;
    /// How it is written, for the schema and the reference.
    const MEANING: &'static str;
    /// May be written as a bare number too.
    const NUMBER: bool = false;

    fn parse(text: &str) -> Result<Self, Rejection>;

    /// Unless `NUMBER`, this only says why not.
    fn from_number(number: i64) -> Result<Self, Rejection> {
        let name = Self::FORMAT.replace('-', " ");
        Err(Rejection::new(format!("`{number}` is not a {name}"), ""))
    }

    /// What `x-least` and `x-most` of the schema bound.
    fn magnitude(&self) -> u128 {
        0
    }
}

/// Why a value cannot be used, and what to write instead.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) reason: String,
    /// Empty: nothing to say.
    pub(crate) help: String,
}

impl Rejection {
    pub(crate) fn new(reason: impl Into<String>, help: impl Into<String>) -> Rejection {
        Rejection { reason: reason.into(), help: help.into() }
    }
}

/// Gives a [`Leaf`] its schema and its way through serde.
macro_rules! leaf {
    ($($leaf:ident),*) => {$(
        impl serde::Serialize for $leaf {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $leaf {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$leaf, D::Error> {
                let leaf = match serde_json::Value::deserialize(deserializer)? {
                    serde_json::Value::String(text) => $leaf::parse(&text),
                    number => $leaf::from_number(number.as_i64().unwrap_or(i64::MIN)),
                };
                leaf.map_err(|rejection| serde::de::Error::custom(rejection.reason))
            }
        }

        impl schemars::JsonSchema for $leaf {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($leaf).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let types = if $leaf::NUMBER {
                    serde_json::json!(["string", "integer"])
                } else {
                    serde_json::json!("string")
                };
                schemars::json_schema!({
                    "type": types,
                    "format": $leaf::FORMAT,
                    "description": $leaf::MEANING,
                })
            }
        }
    )*};
}
pub(crate) use leaf;

/// Displays a [`Leaf`] as it is written in the file.
macro_rules! written {
    ($($leaf:ident: $self:ident, $f:ident => $write:expr;)*) => {$(
        impl Display for $leaf {
            fn fmt(&$self, $f: &mut Formatter<'_>) -> fmt::Result {
                $write
            }
        }
    )*};
}
pub(crate) use written;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size(pub(crate) u64);

leaf!(Size, Duration);

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    pub(crate) const fn kib(n: u64) -> Size {
        Size(n << 10)
    }

    pub(crate) const fn mib(n: u64) -> Size {
        Size(n << 20)
    }

    /// As a length in memory.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Leaf for Size {
    const FORMAT: &'static str = "size";
    const MEANING: &'static str = "A number of bytes, alone or with a unit: `65536`, `\"64KiB\"`, `\"16MiB\"`, \
        `\"1GiB\"`. Units are powers of 1024, numbers are whole, and `_` may group digits.";
    const NUMBER: bool = true;

    fn parse(text: &str) -> Result<Size, Rejection> {
        let (digits, unit) = number_and_unit(text);
        let not_a_size = |help: String| Rejection::new(format!("`{text}` is not a size"), help);
        let Some(number) = digits else {
            return Err(not_a_size("write a whole number of bytes, or one with a unit: \"64KiB\"".into()));
        };
        let bytes = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, bytes)) => *bytes,
            None if unit.is_empty() => 1,
            None if unit.starts_with('.') => {
                return Err(not_a_size("write a whole number: \"1536KiB\" instead of \"1.5MiB\"".into()));
            }
            None => {
                let meant = SIZE_UNITS.iter().find(|(name, _)| {
                    unit.trim().get(..1).is_some_and(|first| name.starts_with(&first.to_ascii_uppercase()))
                });
                let meant = meant.map_or("KiB", |(name, _)| name);
                return Err(not_a_size(format!(
                    "units are B, KiB, MiB and GiB (powers of 1024): \"{number}{meant}\""
                )));
            }
        };
        number.checked_mul(bytes).map(Size).ok_or_else(|| not_a_size("it is too large".into()))
    }

    fn from_number(number: i64) -> Result<Size, Rejection> {
        u64::try_from(number)
            .map(Size)
            .map_err(|_| Rejection::new(format!("`{number}` is not a size"), "a size is not negative"))
    }

    fn magnitude(&self) -> u128 {
        u128::from(self.0)
    }
}

/// In the largest unit that says it exactly.
impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = SIZE_UNITS.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        let (name, bytes) = unit.unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / bytes)
    }
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Duration(pub(crate) time::Duration);

const TIME_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
];

impl Duration {
    pub(crate) const fn seconds(n: u64) -> Duration {
        Duration(time::Duration::from_secs(n))
    }

    pub(crate) const fn milliseconds(n: u64) -> Duration {
        Duration(time::Duration::from_millis(n))
    }
}

impl Leaf for Duration {
    const FORMAT: &'static str = "duration";
    const MEANING: &'static str = "A whole number with a unit: `\"500us\"`, `\"250ms\"`, `\"10s\"`, `\"5m\"`, \
        `\"2h\"`, `\"7d\"`.";

    fn parse(text: &str) -> Result<Duration, Rejection> {
        let (digits, unit) = number_and_unit(text);
        let reason = format!("`{text}` is not a duration");
        let Some(number) = digits else {
            return Err(Rejection::new(
                reason,
                "write a whole number with a unit: \"250ms\", \"10s\", \"5m\"",
            ));
        };
        let Some((_, micros)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
            let help = match (unit, unit.to_ascii_lowercase().get(..1)) {
                ("", _) => format!("a duration needs a unit: \"{number}s\""),
                (_, Some("s" | "m" | "h" | "d")) if !unit.contains('.') => {
                    format!("units are us, ms, s, m (minutes), h and d: \"{number}{}\"", &unit[..1])
                }
                _ => "write a whole number with a unit: \"1500ms\" instead of \"1.5s\"".into(),
            };
            return Err(Rejection::new(reason, help));
        };
        let micros = number.checked_mul(*micros).ok_or_else(|| Rejection::new(&reason, "it is too large"))?;
        Ok(Duration(time::Duration::from_micros(micros)))
    }

    fn from_number(number: i64) -> Result<Duration, Rejection> {
        Err(Rejection::new(
            format!("`{number}` is not a duration"),
            format!("a duration needs a unit: \"{}s\"", number.unsigned_abs()),
        ))
    }

    fn magnitude(&self) -> u128 {
        self.0.as_micros()
    }
}

/// In the largest unit that says it exactly.
impl Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        let unit = TIME_UNITS.iter().find(|(_, unit)| micros > 0 && micros.is_multiple_of(*unit));
        let (name, unit) = unit.unwrap_or(&("s", 1));
        write!(f, "{}{name}", micros / unit)
    }
}

/// Splits "10_000KiB" in 10000 and "KiB". None: it does not begin with a number that fits.
fn number_and_unit(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let grouped = !digits.starts_with('_') && !digits.ends_with('_');
    (digits.replace('_', "").parse().ok().filter(|_| grouped), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_alike() {
        for (text, bytes, written) in [
            ("64KiB", 65_536, "64KiB"),
            ("10_000", 10_000, "10000B"),
            ("0", 0, "0B"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("3B", 3, "3B"),
        ] {
            let size = Size::parse(text).unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, written), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_the_right_form() {
        for (text, help) in [
            ("64KB", "\"64KiB\""),
            ("64k", "\"64KiB\""),
            ("64 MiB", "\"64MiB\""),
            ("", "\"64KiB\""),
            ("_1", "\"64KiB\""),
            ("-1", "\"64KiB\""),
            ("99999999999999999999", "\"64KiB\""),
            ("99999999999GiB", "too large"),
            ("5é", "\"5KiB\""),
            ("1.5MiB", "\"1536KiB\""),
        ] {
            let rejection = Size::parse(text).unwrap_err();
            assert!(rejection.help.contains(help), "{text}: {}", rejection.help);
        }
    }

    #[test]
    fn durations_are_read_and_written_alike() {
        for (text, micros, written) in [
            ("250ms", 250_000, "250ms"),
            ("60s", 60_000_000, "1m"),
            ("5m", 300_000_000, "5m"),
            ("0s", 0, "0s"),
            ("1_500us", 1500, "1500us"),
            ("7d", 604_800_000_000, "7d"),
        ] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!((duration.0.as_micros(), duration.to_string().as_str()), (micros, written), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_the_right_form() {
        for (text, help) in [
            ("10", "\"10s\""),
            ("10sec", "\"10s\""),
            ("5min", "\"5m\""),
            ("2 h", "1500ms"),
            ("1.5s", "1500ms"),
            ("ten", "\"10s\""),
            ("5é", "1500ms"),
            ("99999999999999d", "too large"),
        ] {
            let rejection = Duration::parse(text).unwrap_err();
            assert!(rejection.help.contains(help), "{text}: {}", rejection.help);
        }
    }
}
