//! The list that every stage adds its problems to.
//!
//! It knows the document, so that a stage only says where and why; line, column and source come from here.

use crate::{
    document::{Document, Place, Spot},
    report::{Problem, Report, Severity},
};

/// Problems of one document so far.
pub(crate) struct Findings<'d> {
    document: &'d Document<'d>,
    problems: Vec<Problem>,
}

impl<'d> Findings<'d> {
    pub(crate) fn new(document: &'d Document<'d>) -> Findings<'d> {
        Findings { document, problems: Vec::new() }
    }

    /// The value at this place is wrong. An empty `help` says nothing more.
    pub(crate) fn value(&mut self, at: &Place<'_>, reason: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, at, Spot::Value, reason.into(), help.into());
    }

    /// The key at this place is wrong, or the whole of what stands under it.
    pub(crate) fn key(&mut self, at: &Place<'_>, reason: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, at, Spot::Key, reason.into(), help.into());
    }

    /// The configuration works, but likely not as it was meant.
    pub(crate) fn warn(&mut self, at: &Place<'_>, reason: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, at, Spot::Key, reason.into(), help.into());
    }

    pub(crate) fn finish(self) -> Report {
        Report::new(&self.document.name, self.problems)
    }

    fn add(&mut self, severity: Severity, at: &Place<'_>, spot: Spot, reason: String, help: String) {
        let (line, column, source) = self.document.locate(at, spot);
        let help = (!help.is_empty()).then_some(help);
        self.problems.push(Problem { severity, line, column, key: at.to_string(), reason, help, source });
    }
}
