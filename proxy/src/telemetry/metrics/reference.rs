//! The reference page `docs/metrics.md`, written from the definitions.

use super::{
    ROUTES,
    families::{
        ClusterMetrics, FilterMetrics, IdentityMetrics, ListenerMetrics, ProcessMetrics, RouteMetrics, Scope,
    },
    instruments::BOUNDS_NS,
    process, render,
};
use std::fmt::Write;

/// The page as Markdown.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    section::<ProcessMetrics>("The proxy", &mut page);
    section::<ListenerMetrics>("Listeners", &mut page);
    section::<RouteMetrics>("Routes", &mut page);
    let _ = writeln!(
        page,
        "\nFilters name routes while they run. Of each process's distinct names the first {ROUTES} are counted \
         apart, the others together as `other`."
    );
    section::<ClusterMetrics>("Clusters", &mut page);
    section::<FilterMetrics>("Filters", &mut page);
    page.push_str(CUSTOM);
    section::<IdentityMetrics>("Identities", &mut page);
    processes(&mut page);
    buckets(&mut page);
    page
}

const INTRODUCTION: &str = "\
# Metrics

This page is generated from the definitions in `proxy/src/telemetry/metrics`; a test compares the two.

The admin address serves all metrics at `/metrics` in the Prometheus text format. Labels hold names from the
configuration and values from the fixed lists below, nothing that a caller sends: a scrape does not grow with
paths, ids or clients. Numbers of a listener, cluster or filter that stays in the configuration go on over a
reload; those of one that is removed disappear with it.
";

const CUSTOM: &str = "
A filter's own counters appear as `weir_filter_NAME_total{filter}`, with every character of the name that is
not a letter or digit replaced by `_`. A name that would be one of those above becomes `weir_filter_own_NAME_total`.
";

const TABLE: &str = "| metric | type | labels | meaning |\n|---|---|---|---|\n";

fn section<S: Scope>(title: &str, page: &mut String) {
    let _ = write!(page, "\n## {title}\n\n{TABLE}");
    for family in S::FAMILIES {
        let mut labels: Vec<String> = S::LABEL.iter().map(|label| format!("`{label}`")).collect();
        if let Some((label, values)) = family.label {
            labels.push(format!("`{label}`: {}", values.join(", ")));
        }
        if family.name == "weir_build_info" {
            labels.push("`version`".into());
        }
        let kind = render::type_name(family.kind);
        let _ = writeln!(page, "| `{}` | {kind} | {} | {} |", family.name, labels.join("; "), family.help);
    }
}

fn processes(page: &mut String) {
    let _ = write!(page, "\n## The process\n\n{TABLE}");
    for (name, kind, help) in process::FAMILIES {
        let _ = writeln!(page, "| `{name}` | {kind} | | {help} |");
    }
}

fn buckets(page: &mut String) {
    let bounds: Vec<String> = BOUNDS_NS.iter().map(|&nanos| (nanos as f64 / 1e9).to_string()).collect();
    let _ = write!(
        page,
        "\n## Buckets\n\nHistograms of durations have these upper bounds, in seconds: {}.\n",
        bounds.join(", ")
    );
}
