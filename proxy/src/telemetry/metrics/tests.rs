//! A scrape read back by a parser that forgives nothing, and the numbers over reloads.

use super::{families::Scope, *};
use crate::error::Failure;
use std::collections::{BTreeSet, HashMap, HashSet};

/// One sample: name, labels as written between the braces, value.
type Sample = (String, String, f64);

/// Reads exposition text 0.0.4 and panics at whatever `promtool check metrics` would complain of.
fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut seen) = (Vec::new(), HashSet::new());
    let mut families = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (family, help) = line.strip_prefix("# HELP ").expect(line).split_once(' ').expect(line);
        assert!(!help.is_empty(), "{family} has no help");
        assert!(families.insert(family), "{family} occurs twice");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {family} ")).expect(family);
        check_name(family, kind);
        let mut group = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let sample = parse_sample(line);
            assert!(seen.insert((sample.0.clone(), sample.1.clone())), "twice: {line}");
            group.push(sample);
        }
        assert!(!group.is_empty(), "{family} has no samples");
        match kind {
            "histogram" => check_histogram(family, &group),
            _ => assert!(group.iter().all(|(name, ..)| name == family), "{family} is mixed with others"),
        }
        samples.extend(group);
    }
    samples
}

fn check_name(name: &str, kind: &str) {
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
    assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} is a {kind}");
    assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    for unit in ["_ms", "_us", "_ns", "milliseconds", "_kib", "_percent"] {
        assert!(!name.contains(unit), "{name} is not in a base unit");
    }
}

fn parse_sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let value = value.parse().expect(line);
    let Some((name, labels)) = series.split_once('{') else { return (series.into(), String::new(), value) };
    let labels = labels.strip_suffix('}').expect(line);
    check_labels(labels, line);
    (name.into(), labels.into(), value)
}

fn check_labels(labels: &str, line: &str) {
    let mut rest = labels;
    let mut names = HashSet::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect(line);
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && names.insert(name), "{line}");
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect(line) {
                (_, '\\') => assert!(matches!(chars.next(), Some((_, '\\' | '"' | 'n'))), "{line}"),
                (at, '"') => break at,
                _ => {}
            }
        };
        rest = &after[end + 1..];
        if rest.is_empty() {
            return;
        }
        rest = rest.strip_prefix(',').expect(line);
    }
}

fn check_histogram(family: &str, group: &[Sample]) {
    let mut cumulative: HashMap<String, Vec<f64>> = HashMap::new();
    for (name, labels, value) in group {
        if *name == format!("{family}_bucket") {
            let (thing, _) = labels.rsplit_once(",le=").unwrap();
            cumulative.entry(thing.into()).or_default().push(*value);
        } else if *name == format!("{family}_count") {
            let buckets = &cumulative[labels];
            assert!(buckets.is_sorted(), "{family} {labels}: {buckets:?}");
            assert_eq!(buckets.last(), Some(value), "{family}: the last bucket is not the count");
        } else {
            assert_eq!(*name, format!("{family}_sum"));
        }
    }
    assert!(!cumulative.is_empty());
}

fn scrape(metrics: &Metrics) -> Vec<Sample> {
    let mut text = String::new();
    metrics.render(&[], &mut text);
    parse(&text)
}

fn value(samples: &[Sample], series: &str) -> Option<f64> {
    let written = |(name, labels, _): &&Sample| match labels.is_empty() {
        true => name == series,
        false => format!("{name}{{{labels}}}") == series,
    };
    samples.iter().find(written).map(|sample| sample.2)
}

#[test]
fn a_scrape_shows_what_workers_counted() {
    let metrics = Metrics::new(2);
    let listener = metrics.listener("web");
    listener.requests.one(0, CodeClass::of(204));
    listener.requests.one(1, CodeClass::of(200));
    listener.requests.one(1, CodeClass::of(503));
    listener.connections_active.up(0);
    listener.connections_active.up(1);
    listener.connections_active.down(1);
    let filter = metrics.filter("jwt");
    filter.time.add_ns(1, 1_500);
    metrics.process.local_replies.one(0, LocalReply::Failed(Failure::NoRoute));

    let samples = scrape(&metrics);
    assert_eq!(value(&samples, r#"weir_requests_total{listener="web",code_class="2xx"}"#), Some(2.0));
    assert_eq!(value(&samples, r#"weir_requests_total{listener="web",code_class="5xx"}"#), Some(1.0));
    assert_eq!(value(&samples, r#"weir_connections_active{listener="web"}"#), Some(1.0));
    assert_eq!(value(&samples, r#"weir_filter_seconds_total{filter="jwt"}"#), Some(0.000_001_5));
    assert_eq!(value(&samples, r#"weir_local_replies_total{reason="no_route"}"#), Some(1.0));
    let version = format!("weir_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&samples, &version), Some(1.0));
}

#[test]
fn every_cell_of_a_thing_belongs_to_one_instrument() {
    let metrics = Metrics::new(1);
    let cluster = metrics.cluster("users");
    for cell in 0..ClusterMetrics::WIDTH {
        cluster.cells().add(0, cell, 1);
    }
    let samples = scrape(&metrics);
    let of_cluster = samples.iter().filter(|(name, ..)| name.starts_with("weir_cluster"));
    assert!(of_cluster.clone().count() > 20);
    for (name, labels, value) in of_cluster {
        assert_eq!(*value, 1.0, "{name} {labels}");
    }
    assert_eq!(value(&samples, r#"weir_upstream_duration_seconds_count{cluster="users"}"#), Some(18.0));
}

#[test]
fn durations_fall_into_the_bucket_whose_bound_they_reach() {
    let metrics = Metrics::new(1);
    let listener = metrics.listener("web");
    for nanos in [1, 100_000, 100_001, 30_000_000_000, 30_000_000_001, u64::from(u32::MAX)] {
        listener.duration.observe_ns(0, nanos);
    }
    let samples = scrape(&metrics);
    let bucket = |le: &str| {
        value(&samples, &format!("weir_request_duration_seconds_bucket{{listener=\"web\",le=\"{le}\"}}"))
    };
    assert_eq!(bucket("0.0001"), Some(2.0));
    assert_eq!(bucket("0.00025"), Some(3.0));
    assert_eq!(bucket("5"), Some(4.0));
    assert_eq!(bucket("30"), Some(5.0));
    assert_eq!(bucket("+Inf"), Some(6.0));
    assert_eq!(listener.duration.count(), 6);
}

#[test]
fn numbers_go_on_over_a_reload_and_leave_with_the_thing() {
    let metrics = Metrics::new(1);
    let old = metrics.cluster("users");
    old.retries.one(0);
    let new = metrics.cluster("users");
    drop(old);
    new.retries.one(0);
    let series = r#"weir_cluster_retries_total{cluster="users"}"#;
    assert_eq!(value(&scrape(&metrics), series), Some(2.0));
    drop(new);
    assert_eq!(value(&scrape(&metrics), series), None);
    assert!(metrics.clusters.lock().is_empty());
}

#[test]
fn hostile_names_cannot_break_the_text() {
    let metrics = Metrics::new(1);
    let listener = metrics.listener("a\"b\\c\nd} 1");
    listener.connections.one(0);
    metrics.route_cache().count(0, "x\"\n# TYPE y counter\ny 1", CodeClass::Successful);
    let custom = [
        Custom { filter: "f\"", name: "opened", help: "Line\nbreak \\ slash", value: 3 },
        Custom { filter: "g", name: "opened", help: "Another help", value: 4 },
        Custom { filter: "g", name: "seconds\n evil", help: "x", value: 1 },
        Custom { filter: "g", name: "calls", help: "x", value: 5 },
    ];
    let mut text = String::new();
    metrics.render(&custom, &mut text);
    let samples = parse(&text);
    assert_eq!(value(&samples, r#"weir_connections_total{listener="a\"b\\c\nd} 1"}"#), Some(1.0));
    assert_eq!(value(&samples, r#"weir_filter_opened_total{filter="f\""}"#), Some(3.0));
    assert_eq!(value(&samples, r#"weir_filter_own_calls_total{filter="g"}"#), Some(5.0));
    assert!(text.contains("# HELP weir_filter_opened_total Line\\nbreak \\\\ slash\n"));
}

#[test]
fn no_two_families_share_a_name() {
    let mut names = HashSet::new();
    for families in [
        ListenerMetrics::FAMILIES,
        RouteMetrics::FAMILIES,
        ClusterMetrics::FAMILIES,
        FilterMetrics::FAMILIES,
        IdentityMetrics::FAMILIES,
        ProcessMetrics::FAMILIES,
    ] {
        assert!(families.iter().all(|family| names.insert(family.name)));
    }
}

/// `WEIR_BLESS=1` writes the page instead.
#[test]
fn the_reference_page_is_what_the_definitions_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page == reference(), "docs/metrics.md is out of date: run this test with WEIR_BLESS=1");
}
