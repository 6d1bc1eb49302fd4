//! The proxy's own log: what operators read when something is wrong.
//!
//! It goes to standard error, as text or as one JSON object per line. Exchanges are not logged here but in
//! [`super::access_log`].

use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};

use tracing_subscriber::{
    EnvFilter, Registry, fmt,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};
use weir_config::checked::LogLevel;

/// The environment variable that sets the level whatever config says.
pub const LEVEL_VARIABLE: &str = "WEIR_LOG";

/// The way to change the level; absent when [`LEVEL_VARIABLE`] decides.
static LEVEL: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// For collectors.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not understood.
    #[error(
        "'{0}' is no log level: give error, warn, info, debug or trace, or directives such as info,weir::cluster=debug"
    )]
    Level(String),
    /// The process has a log already.
    #[error("the log is set up twice")]
    Twice,
}

/// Sets up the log of this process. The level is what [`LEVEL_VARIABLE`] says, else what config does.
pub fn init(level: LogLevel, format: Format) -> Result<(), LogError> {
    let variable = std::env::var(LEVEL_VARIABLE).ok().filter(|said| !said.trim().is_empty());
    let (filter, handle) = reload::Layer::new(filter(Some(variable.as_deref().unwrap_or(word(level))))?);
    let registry = Registry::default().with(filter);
    let lines = fmt::layer().with_writer(io::stderr);
    let set = match format {
        Format::Text => registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    set.map_err(|_| LogError::Twice)?;
    if variable.is_none() {
        let _ = LEVEL.set(handle);
    }
    Ok(())
}

/// Changes the level, unless [`LEVEL_VARIABLE`] decides.
pub fn set_level(level: LogLevel) {
    if let (Some(handle), Ok(filter)) = (LEVEL.get(), filter(Some(word(level)))) {
        // Fails only when the log is gone, with the process.
        let _ = handle.reload(filter);
    }
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Off => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

fn filter(level: Option<&str>) -> Result<EnvFilter, LogError> {
    let level = level.map(str::trim).filter(|level| !level.is_empty()).unwrap_or("info");
    // A single word that is no level would be taken for a module's name and silence everything.
    let single_word = !level.contains(['=', ',', ':', '[']);
    if single_word && level.parse::<tracing_subscriber::filter::LevelFilter>().is_err() {
        return Err(LogError::Level(level.into()));
    }
    EnvFilter::try_new(level).map_err(|_| LogError::Level(level.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_info_unless_said() {
        for unsaid in [None, Some(""), Some("  ")] {
            assert_eq!(filter(unsaid).unwrap().to_string(), "info");
        }
        assert_eq!(filter(Some("debug")).unwrap().to_string(), "debug");
        assert_eq!(filter(Some("off")).unwrap().to_string(), "off");
    }

    #[test]
    fn levels_may_differ_by_module() {
        let directives = filter(Some("info,weir::cluster=debug")).unwrap().to_string();
        assert!(directives.contains("weir::cluster=debug") && directives.contains("info"), "{directives}");
    }

    #[test]
    fn what_is_no_level_is_refused_by_name() {
        for bad in ["loud", "weir=loud", "info,weir=5x"] {
            let error = filter(Some(bad)).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }
}
