//! Values that are texts with a syntax of their own: names, paths, sources and the like.

use std::fmt::{self, Display, Formatter};

use super::value::{Leaf, Rejection, leaf, written};
use crate::nearest;

/// The filters that come with the proxy, as in `wasm = "builtin:NAME"`.
pub const BUILTIN_FILTERS: [&str; 6] = ["router", "jwt", "api-key", "rbac", "canary", "circuit-breaker"];

leaf!(Name, FilePath, LogTarget, Wasm, Sha256, Upgrade, WorkerCount);

/// What operators call a listener, filter, cluster, limit or data entry.
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) const PATTERN: &'static str = "^[a-z0-9_-]{1,64}$";
}

impl Leaf for Name {
    const FORMAT: &'static str = "name";
    const MEANING: &'static str = "1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`. Names are labels of metrics.";

    fn parse(text: &str) -> Result<Name, Rejection> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Name(text.into()));
        }
        Err(Rejection::new(
            format!("`{}` is not a name", text.escape_debug()),
            "a name is 1 to 64 of a-z, 0-9, `_` and `-`",
        ))
    }
}

/// A protocol that HTTP/1.1 may be changed to.
pub(crate) struct Upgrade(pub(crate) String);

impl Leaf for Upgrade {
    const FORMAT: &'static str = "upgrade";
    const MEANING: &'static str =
        "The name of a protocol as it stands in an `Upgrade` field: `\"websocket\"`.";

    fn parse(text: &str) -> Result<Upgrade, Rejection> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
            return Err(Rejection::new(format!("`{}` is not a protocol", text.escape_debug()), ""));
        }
        let name = text.split('/').next().unwrap_or_default();
        if ["h2c", "h2", "http", "tls"].iter().any(|other| name.eq_ignore_ascii_case(other)) {
            return Err(Rejection::new(
                format!("`{text}` would carry requests past every policy"),
                "HTTP/2 is spoken by prior knowledge or ALPN, without an upgrade",
            ));
        }
        Ok(Upgrade(text.to_ascii_lowercase()))
    }
}

pub(crate) struct FilePath(pub(crate) String);

impl Leaf for FilePath {
    const FORMAT: &'static str = "path";
    const MEANING: &'static str = "A path; relative ones begin at the folder of the configuration file.";

    fn parse(text: &str) -> Result<FilePath, Rejection> {
        if text.is_empty() || text.contains('\0') {
            return Err(Rejection::new(format!("`{}` is not a path", text.escape_debug()), ""));
        }
        Ok(FilePath(text.into()))
    }
}

#[derive(Default)]
pub(crate) enum LogTarget {
    #[default]
    Off,
    Stdout,
    File(String),
}

impl Leaf for LogTarget {
    const FORMAT: &'static str = "access-log-target";
    const MEANING: &'static str = "`\"off\"`, `\"stdout\"`, or a path.";

    fn parse(text: &str) -> Result<LogTarget, Rejection> {
        match text {
            "off" => Ok(LogTarget::Off),
            "stdout" => Ok(LogTarget::Stdout),
            "stderr" => Err(Rejection::new(
                "the access log cannot go to `stderr`, where Weir's own messages go",
                "write \"off\", \"stdout\", or a path",
            )),
            path => FilePath::parse(path).map(|path| LogTarget::File(path.0)),
        }
    }
}

pub(crate) enum Wasm {
    Builtin(String),
    File(String),
}

impl Leaf for Wasm {
    const FORMAT: &'static str = "filter-source";
    const MEANING: &'static str = "`\"builtin:NAME\"` for a filter that comes with Weir (`router`, `jwt`, \
        `api-key`, `rbac`, `canary`, `circuit-breaker`), or the path of a WebAssembly file.";

    fn parse(text: &str) -> Result<Wasm, Rejection> {
        if let Some(name) = text.strip_prefix("builtin:") {
            if BUILTIN_FILTERS.contains(&name) {
                return Ok(Wasm::Builtin(name.into()));
            }
            let help = nearest::help(name, BUILTIN_FILTERS, "");
            return Err(Rejection::new(format!("there is no builtin filter `{name}`"), help));
        }
        if let Some((scheme @ ("oci" | "http" | "https" | "file"), _)) = text.split_once("://") {
            return Err(Rejection::new(
                format!("filters cannot be loaded from `{scheme}` addresses yet"),
                "possible now: \"builtin:NAME\" or the path of a file",
            ));
        }
        if BUILTIN_FILTERS.contains(&text) {
            return Err(Rejection::new(
                format!("`{text}` is not a file"),
                format!("for the filter that comes with Weir write \"builtin:{text}\""),
            ));
        }
        FilePath::parse(text).map(|path| Wasm::File(path.0))
    }
}

pub(crate) struct Sha256(pub(crate) [u8; 32]);

impl Leaf for Sha256 {
    const FORMAT: &'static str = "sha256";
    const MEANING: &'static str = "64 hexadecimal digits, as `sha256sum` prints them.";

    fn parse(text: &str) -> Result<Sha256, Rejection> {
        let refuse = |help: String| Rejection::new("this is not a SHA-256", help);
        if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(refuse(format!("write 64 hexadecimal digits; `{}` is none", wrong.escape_debug())));
        }
        if text.len() != 64 {
            return Err(refuse(format!("write 64 hexadecimal digits; there are {}", text.len())));
        }
        let mut sum = [0; 32];
        for (byte, pair) in sum.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Ok(Sha256(sum))
    }
}

#[derive(Default)]
pub(crate) enum WorkerCount {
    #[default]
    Cores,
    Exactly(usize),
}

impl WorkerCount {
    pub(crate) const MAX: usize = 1024;
}

impl Leaf for WorkerCount {
    const FORMAT: &'static str = "worker-count";
    const MEANING: &'static str = "`\"cores\"`, or a number from 1 to 1024.";
    const NUMBER: bool = true;

    fn parse(text: &str) -> Result<WorkerCount, Rejection> {
        match text {
            "cores" => Ok(WorkerCount::Cores),
            _ => Err(Rejection::new(
                format!("`{}` is not a number of workers", text.escape_debug()),
                "write \"cores\", or a number from 1 to 1024 without quotes",
            )),
        }
    }

    fn from_number(number: i64) -> Result<WorkerCount, Rejection> {
        match usize::try_from(number) {
            Ok(count @ 1..=WorkerCount::MAX) => Ok(WorkerCount::Exactly(count)),
            _ => Err(Rejection::new(
                format!("`{number}` is not a number of workers"),
                "write \"cores\", or a number from 1 to 1024",
            )),
        }
    }
}

written! {
    Name: self, f => f.write_str(&self.0);
    FilePath: self, f => f.write_str(&self.0);
    Upgrade: self, f => f.write_str(&self.0);
    Sha256: self, f => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
    Wasm: self, f => match self {
        Wasm::Builtin(name) => write!(f, "builtin:{name}"),
        Wasm::File(path) => f.write_str(path),
    };
    LogTarget: self, f => f.write_str(match self {
        LogTarget::Off => "off",
        LogTarget::Stdout => "stdout",
        LogTarget::File(path) => path,
    });
    WorkerCount: self, f => match self {
        WorkerCount::Cores => f.write_str("cores"),
        WorkerCount::Exactly(count) => count.fmt(f),
    };
}
