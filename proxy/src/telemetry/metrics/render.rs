//! The text that a scrape gets: Prometheus exposition format 0.0.4.

use super::{
    Custom, Metrics, ProcessMetrics,
    cells::Cells,
    custom,
    families::Scope,
    instruments::{BOUNDS_NS, Family, Kind, not_below_zero},
    process,
};
use std::{
    fmt::{Display, Write},
    sync::Arc,
};

/// What a scrape's answer carries as `content-type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Appends everything that is counted, filters' own counters included.
    pub fn render(&self, custom: &[Custom<'_>], out: &mut String) {
        let process = [("".into(), self.process_cells.clone())];
        scope::<ProcessMetrics>(&process, out);
        scope_of(&self.listeners.alive(), out);
        scope_of(&self.routes.all(), out);
        scope_of(&self.clusters.alive(), out);
        scope_of(&self.filters.alive(), out);
        scope_of(&self.identities.alive(), out);
        custom_families(custom, out);
        process::render(self.started_unix_ms, out);
    }
}

type Thing = (Arc<str>, Arc<Cells>);

fn scope_of<S: Scope>(alive: &[(Arc<str>, Arc<S>)], out: &mut String) {
    let things: Vec<Thing> =
        alive.iter().map(|(name, thing)| (name.clone(), thing.cells().clone())).collect();
    scope::<S>(&things, out);
}

fn scope<S: Scope>(things: &[Thing], out: &mut String) {
    let mut first = 0;
    for family in S::FAMILIES {
        if !things.is_empty() {
            heading(family.name, family.help, type_name(family.kind), out);
        }
        for (name, cells) in things {
            series(family, S::LABEL.map(|label| (label, &**name)), cells, first, out);
        }
        first += family.width();
    }
}

fn series(family: &Family, thing: Option<(&str, &str)>, cells: &Cells, first: usize, out: &mut String) {
    let mut labels = Labels::default();
    if let Some((label, name)) = thing {
        labels.push(label, name);
    }
    if family.name == "weir_build_info" {
        labels.push("version", env!("CARGO_PKG_VERSION"));
    }
    if family.kind == Kind::Histogram {
        return histogram(family.name, &labels, cells, first, out);
    }
    let Some((label, values)) = family.label else {
        let value = cells.sum(first);
        return sample(family, &labels, value, out);
    };
    for (position, value) in values.iter().enumerate() {
        let labels = labels.with(label, value);
        sample(family, &labels, cells.sum(first + position), out);
    }
}

fn sample(family: &Family, labels: &Labels, value: u64, out: &mut String) {
    match family.kind {
        Kind::Seconds => line(family.name, labels, seconds(value), out),
        Kind::Gauge => line(family.name, labels, not_below_zero(value), out),
        Kind::Counter | Kind::Histogram => line(family.name, labels, value, out),
    }
}

/// The count is the sum of the buckets that were just read, so that the two agree whatever workers add
/// meanwhile.
fn histogram(name: &str, labels: &Labels, cells: &Cells, first: usize, out: &mut String) {
    let bucket = format!("{name}_bucket");
    let mut count = 0u64;
    for (position, bound) in BOUNDS_NS.iter().enumerate() {
        count += cells.sum(first + position);
        line(&bucket, &labels.with("le", &seconds(*bound).to_string()), count, out);
    }
    count += cells.sum(first + BOUNDS_NS.len());
    line(&bucket, &labels.with("le", "+Inf"), count, out);
    line(&format!("{name}_sum"), labels, seconds(cells.sum(first + BOUNDS_NS.len() + 1)), out);
    line(&format!("{name}_count"), labels, count, out);
}

fn custom_families(counters: &[Custom<'_>], out: &mut String) {
    for (name, family) in custom::by_family(counters) {
        heading(&name, family.help, "counter", out);
        for (filter, value) in family.by_filter {
            let mut labels = Labels::default();
            labels.push("filter", filter);
            line(&name, &labels, value, out);
        }
    }
}

pub(super) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter | Kind::Seconds => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

pub(super) fn heading(name: &str, help: &str, kind: &str, out: &mut String) {
    let _ = write!(out, "# HELP {name} ");
    for c in help.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    let _ = write!(out, "\n# TYPE {name} {kind}\n");
}

pub(super) fn line(name: &str, labels: &Labels, value: impl Display, out: &mut String) {
    out.push_str(name);
    if !labels.0.is_empty() {
        let _ = write!(out, "{{{}}}", labels.0);
    }
    let _ = writeln!(out, " {value}");
}

/// Labels as they are written between braces.
#[derive(Default)]
pub(super) struct Labels(String);

impl Labels {
    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        let _ = write!(self.0, "{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    fn with(&self, name: &str, value: &str) -> Labels {
        let mut more = Labels(self.0.clone());
        more.push(name, value);
        more
    }
}
