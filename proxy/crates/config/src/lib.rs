//! Weir's configuration: one TOML file, checked as a whole.
//!
//! ```text
//! text -> document (tree with places) -> shape (against the schema) -> file types -> check -> Config
//! ```
//!
//! Every stage adds what it finds wrong to one list and goes on with the rest, so that the operator sees all
//! problems at once, each with its place and a way out. The file types are the only place where a key, its
//! default and its meaning are written; schema and reference are made from them.

pub mod checked;
pub mod spiffe;

mod changes;
mod check;
mod document;
mod endpoints;
mod file;
mod findings;
mod inline;
mod json;
mod nearest;
mod reference;
mod regular;
mod report;
mod rules;
mod schema;
mod shape;
mod shown;

use std::path::Path;

pub use changes::{Changes, Delta, differences};
pub use checked::Config;
pub use endpoints::load_endpoints;
pub use file::BUILTIN_FILTERS;
pub use reference::reference;
pub use report::{Problem, Report, Severity};
pub use schema::schema;
pub use shown::Written;

use document::Document;
use findings::Findings;

/// Bytes of the longest file that is read: far above ten thousand routes, far below what hurts.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads a length of time as the file writes it: `"250ms"`, `"24h"`.
///
/// # Errors
/// Why it is none, and how one is written.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let read = <file::Duration as file::Leaf>::parse(text);
    read.map(|duration| duration.0).map_err(|rejection| format!("{} ({})", rejection.reason, rejection.help))
}

/// What overrules `[node] zone`.
const ZONE_VARIABLE: &str = "WEIR_ZONE";

/// Reads and checks a configuration file. Relative paths in it are relative to its folder. The environment may say
/// which zone this is.
///
/// # Errors
/// Everything that is wrong with it, at once; or the one reason why it could not be read.
pub fn load(path: &Path) -> Result<Config, Report> {
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    let zone = std::env::var(ZONE_VARIABLE).ok().filter(|zone| !zone.is_empty());
    parse_in(zone, &text, path.parent().unwrap_or(Path::new("")), &name)
}

/// What is in a file that is not too long.
fn read_text(path: &Path, name: &str) -> Result<String, Report> {
    let unreadable = |reason: String| Report::whole(name, reason);
    let bytes = std::fs::metadata(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(unreadable(format!("is {bytes} bytes long; the longest allowed is {FILE_BYTES_MAX}")));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    String::from_utf8(bytes)
        .map_err(|e| unreadable(format!("is not UTF-8 from byte {} on", e.utf8_error().valid_up_to())))
}

/// Checks a configuration given as text. Relative paths in it are relative to `base_dir`; `name` is what
/// problems call the text.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn parse(text: &str, base_dir: &Path, name: &str) -> Result<Config, Report> {
    parse_in(None, text, base_dir, name)
}

/// The same in a zone that is known already.
fn parse_in(zone: Option<String>, text: &str, base_dir: &Path, name: &str) -> Result<Config, Report> {
    let document = Document::parse(text, name)?;
    let mut findings = Findings::new(&document);
    let config = shape::read::<file::File>(&document, &mut findings).and_then(|mut file| {
        file.node.zone = zone.or(file.node.zone);
        check::check(&file, &document, base_dir, &mut findings)
    });
    let report = findings.finish();
    match config {
        Some(config) if !report.has_errors() => {
            let (warnings, written) = (report.problems().to_vec(), Written::of(&document));
            Ok(Config { warnings, written, ..config })
        }
        _ => Err(report),
    }
}
