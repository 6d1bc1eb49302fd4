//! `[overload]`.

use std::fmt::{self, Display, Formatter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Leaf, Rejection, Size, leaf, written};

/// More than the machine bears. While it lasts new connections are closed at once, requests are answered 503 with
/// `Retry-After` and the reason `overload`, and connections without an exchange are closed; exchanges under way go on.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Overload {
    /// Memory in RAM of the process above which it is overloaded, until it is a tenth below that again. Far enough
    /// below where the system ends the process: it is looked at ten times a second.
    #[schemars(example = &"512MiB", example = &"90%")]
    pub(crate) memory: MemoryMark,
}

leaf!(MemoryMark);

/// How much memory is too much.
#[derive(Default)]
pub(crate) enum MemoryMark {
    #[default]
    Off,
    Bytes(u64),
    Percent(u8),
}

/// Below this the process does not even start.
const LEAST: u64 = 16 << 20;

impl Leaf for MemoryMark {
    const FORMAT: &'static str = "memory-mark";
    const MEANING: &'static str = "`\"off\"`; a [size](#values) of at least 16 MiB: `\"512MiB\"`; or 10 to 100 \
        percent of what the process may use, by its cgroup or the machine: `\"90%\"`.";

    fn parse(text: &str) -> Result<MemoryMark, Rejection> {
        if text == "off" {
            return Ok(MemoryMark::Off);
        }
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse() {
                Ok(percent @ 10..=100) => Ok(MemoryMark::Percent(percent)),
                _ => Err(Rejection::new(
                    format!("`{}` is not a share of the memory", text.escape_debug()),
                    "from \"10%\" to \"100%\"",
                )),
            };
        }
        let not_a_mark = |_| {
            let help = "write \"off\", a size such as \"512MiB\", or a share such as \"90%\"";
            Rejection::new(format!("`{}` is not a mark for memory", text.escape_debug()), help)
        };
        let Size(bytes) = Size::parse(text).map_err(not_a_mark)?;
        if bytes < LEAST {
            return Err(Rejection::new(
                format!("{} is less than the process needs itself", Size(bytes)),
                "at least \"16MiB\"",
            ));
        }
        Ok(MemoryMark::Bytes(bytes))
    }
}

written! {
    MemoryMark: self, f => match self {
        MemoryMark::Off => f.write_str("off"),
        MemoryMark::Bytes(bytes) => Size(*bytes).fmt(f),
        MemoryMark::Percent(percent) => write!(f, "{percent}%"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_and_written() {
        for text in ["off", "512MiB", "1GiB", "90%", "100%"] {
            assert_eq!(MemoryMark::parse(text).map(|mark| mark.to_string()).ok().as_deref(), Some(text));
        }
        for text in ["", "0", "1MiB", "9%", "101%", "90 %%", "512MB", "-1%", "on"] {
            assert!(MemoryMark::parse(text).is_err(), "{text}");
        }
    }
}
