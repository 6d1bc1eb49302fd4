//! What an operator is told about a configuration, as data and as text.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// Problems that are written out; of more only the number is told.
const SHOWN_MAX: usize = 100;
/// Characters of a source line that are shown.
const SOURCE_CHARS_MAX: usize = 160;

/// Everything that was found in one configuration file, in the order of its lines.
///
/// Printed whole it shows the lines in question, which may hold secrets: that form is for the operator's
/// terminal. Where others read along - a log, an API - print the problems one by one.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    name: String,
    problems: Vec<Problem>,
}

/// One thing that is wrong, or likely not meant. Printed, it is one line without source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Whether it keeps the configuration from being used.
    pub severity: Severity,
    /// From 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// In characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// `listeners.web.limits.head`; empty when the text is not TOML, or for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub help: Option<String>,
    #[serde(skip)]
    pub(crate) source: Option<Source>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but something in it has no effect or is dangerous.
    Warning,
}

/// A line of the file and the part of it in question, in characters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    line: String,
    mark_at: usize,
    mark_width: usize,
}

impl Report {
    pub(crate) fn new(name: &str, mut problems: Vec<Problem>) -> Report {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Report { name: name.into(), problems }
    }

    /// A problem of the file as a whole.
    pub(crate) fn whole(name: &str, reason: String) -> Report {
        let problem = Problem {
            severity: Severity::Error,
            line: 0,
            column: 0,
            key: String::new(),
            reason,
            help: None,
            source: None,
        };
        Report { name: name.into(), problems: vec![problem] }
    }

    /// All of them, errors and warnings, in the order of the file's lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What the file is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

impl std::error::Error for Report {}

/// As a compiler would: every problem with its line of the file, a mark under it, and help.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().take(SHOWN_MAX) {
            problem.write_whole(f, &self.name)?;
            writeln!(f)?;
        }
        if let Some(more) = self.problems.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            writeln!(f, "{}: ... and {more} more like these\n", self.name)?;
        }
        let errors = self.problems.iter().filter(|p| p.severity == Severity::Error).count();
        let warnings = self.problems.len() - errors;
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        match warnings {
            0 => write!(f, "{}: {}", self.name, count(errors, "error")),
            _ => write!(f, "{}: {}, {}", self.name, count(errors, "error"), count(warnings, "warning")),
        }
    }
}

impl Problem {
    /// The same form as in a whole [`Report`], which is meant for terminals: for warnings of a
    /// configuration that is otherwise right.
    pub fn with_source<'a>(&'a self, file: &'a str) -> impl Display + 'a {
        fmt::from_fn(move |f| self.write_whole(f, file))
    }

    fn write_whole(&self, f: &mut Formatter<'_>, file: &str) -> fmt::Result {
        match self.line {
            0 => write!(f, "{file}: {}: ", self.severity)?,
            line => write!(f, "{file}:{line}:{}: {}: ", self.column, self.severity)?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        writeln!(f, "{}", self.reason)?;
        if let Some(source) = &self.source {
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            writeln!(f, "{gutter} |")?;
            writeln!(f, "{number} | {}", source.line)?;
            writeln!(f, "{gutter} | {}{}", " ".repeat(source.mark_at), "^".repeat(source.mark_width))?;
        }
        match &self.help {
            Some(help) => writeln!(f, "help: {help}"),
            None => Ok(()),
        }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.severity)?;
        if self.line > 0 {
            write!(f, " in line {}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ", {}", self.key)?;
        }
        write!(f, ": {}", self.reason)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

impl Source {
    /// The part of a line around the mark that fits on a screen. `column` counts from 1.
    pub(crate) fn cut(line: &str, column: usize, width: usize) -> Source {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let from = (column - 1).saturating_sub(SOURCE_CHARS_MAX / 2);
        let shown: String = line.chars().skip(from).take(SOURCE_CHARS_MAX).map(printable).collect();
        let mark_at = column - 1 - from;
        let mark_width = width.min(SOURCE_CHARS_MAX.saturating_sub(mark_at)).max(1);
        Source { line: shown.trim_end().to_owned(), mark_at, mark_width }
    }
}
