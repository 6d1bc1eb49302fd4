//! Lines read back, and the queue between workers and the disk.

use super::*;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

fn line(record: &Record<'_>) -> Value {
    let mut out = Vec::new();
    record.write(&mut out);
    assert_eq!(out.pop(), Some(b'\n'));
    assert!(!out.contains(&b'\n'), "more than one line");
    serde_json::from_slice(&out).unwrap()
}

fn numbered(number: u64) -> Record<'static> {
    Record { bytes_in: number, ..Record::default() }
}

fn numbers(lines: &str) -> Vec<u64> {
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["bytes_in"].as_u64().unwrap())
        .collect()
}

/// An exchange to which everything happened.
fn eventful() -> Record<'static> {
    Record {
        time_unix_ms: 1_234_567_890_123,
        tcp: false,
        listener: "web",
        sni: Some("api.example.com"),
        peer: Some([192, 0, 2, 7].into()),
        destination: Some(([10, 0, 0, 1], 80).into()),
        identity: Some("spiffe://example.org/cart"),
        method: b"GET",
        authority: b"api.example.com",
        path: b"/users/7?token=secret",
        protocol: "HTTP/2",
        status: 403,
        reason: Some("filter"),
        filter: Some("jwt"),
        route: Some("users"),
        cluster: Some("users"),
        endpoint: Some("10.0.0.1:8080"),
        attempts: 2,
        bytes_in: 1,
        bytes_out: 2,
        duration_us: 3,
        upstream_us: Some(4),
        request_id: "id",
        trace_id: Some("0af7651916cd43dd8448eb211c80319c"),
        facts: &[("auth.subject", "alice"), ("odd\"name\n", "\u{1}")],
        flags: Flags { downstream_aborted: true, remembered: true, ..Flags::default() },
    }
}

#[test]
fn a_line_says_what_happened() {
    let expected = json!({
        "time": "2009-02-13T23:31:30.123Z", "listener": "web", "peer": "192.0.2.7",
        "destination": "10.0.0.1:80", "identity": "spiffe://example.org/cart", "sni": "api.example.com", "method": "GET", "authority": "api.example.com",
        "path": "/users/7", "protocol": "HTTP/2", "status": 403, "reason": "filter", "filter": "jwt",
        "route": "users", "cluster": "users", "endpoint": "10.0.0.1:8080", "attempts": 2, "bytes_in": 1,
        "bytes_out": 2, "duration_us": 3, "upstream_us": 4, "request_id": "id",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "facts": { "auth.subject": "alice", "odd\"name\n": "\u{1}" },
        "flags": ["downstream_aborted", "remembered"],
    });
    assert_eq!(line(&eventful()), expected);
}

#[test]
fn every_key_of_a_line_is_documented_and_no_other() {
    let document = include_str!("../../../../docs/operations.md");
    let section = document.split("\n## The access log\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|row| row.starts_with("| `"));
    let cells = rows.filter_map(|row| row.trim_matches('|').split('|').next());
    let told: Vec<_> =
        cells.flat_map(|keys| keys.split(',')).map(|key| key.trim().trim_matches('`')).collect();
    let line = line(&eventful());
    let mut written: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let mut told_sorted = told.clone();
    told_sorted.sort_unstable();
    written.sort_unstable();
    assert_eq!(told_sorted, written);
}

#[test]
fn what_is_absent_is_left_out() {
    let line = line(&Record::default());
    for absent in [
        "peer",
        "destination",
        "identity",
        "sni",
        "reason",
        "route",
        "cluster",
        "upstream_us",
        "facts",
        "flags",
    ] {
        assert!(line.get(absent).is_none(), "{absent} is there");
    }
}

#[test]
fn a_line_is_bounded_whatever_the_caller_sends() {
    let long = vec![0xff; 100_000];
    let text = "\u{1}".repeat(100_000);
    let facts = [(text.as_str(), text.as_str()); 100];
    let record = Record { method: &long, authority: &long, path: &long, facts: &facts, ..Record::default() };
    let mut out = Vec::new();
    record.write(&mut out);
    // Twelve values of 16 facts and 3 of the head, each up to 6 bytes for one.
    assert!(out.len() < 35 * 6 * 2_100, "{} bytes", out.len());
}

#[test]
fn every_line_of_every_worker_is_written_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let metrics = Metrics::new(4);
    let log = AccessLog::open(&Target::File(path.clone()), 4, metrics.clone()).unwrap().unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let mut log = log.worker(worker);
            scope.spawn(move || (0..1_000).for_each(|n| log.log(&numbered(worker as u64 * 1_000 + n))));
        }
    });
    drop(log);
    let mut written = numbers(&fs::read_to_string(&path).unwrap());
    for worker in 0..4 {
        let own = written.iter().filter(|n| **n / 1_000 == worker);
        assert!(own.is_sorted());
    }
    written.sort_unstable();
    assert_eq!(written, (0..4_000).collect::<Vec<_>>());
    assert_eq!(metrics.process.access_log_lines.sum(), 4_000);
    assert_eq!(metrics.process.access_log_dropped.sum(), 0);
}

/// Waits until the file has been opened anew: it is there again under its name.
fn appears(path: &std::path::Path) {
    while !path.exists() {
        thread::yield_now();
    }
}

#[test]
fn a_moved_file_gets_the_lines_before_and_a_new_one_those_after() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = AccessLog::open(&Target::File(path.clone()), 1, Metrics::new(1)).unwrap().unwrap();
    let mut worker = log.worker(0);
    worker.log(&numbered(1));
    fs::rename(&path, &moved).unwrap();
    worker.log(&numbered(2));
    log.reopen();
    appears(&path);
    worker.log(&numbered(3));
    drop(log);
    assert_eq!(numbers(&fs::read_to_string(&moved).unwrap()), [1, 2]);
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [3]);
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("logs");
    fs::create_dir(&inner).unwrap();
    let moved = folder.path().join("moved");
    let log = AccessLog::open(&Target::File(inner.join("access.log")), 1, Metrics::new(1)).unwrap().unwrap();
    fs::rename(&inner, &moved).unwrap();
    log.reopen();
    log.worker(0).log(&numbered(1));
    drop(log);
    assert_eq!(numbers(&fs::read_to_string(moved.join("access.log")).unwrap()), [1]);
}

/// A disk that takes each write only when the test lets it.
struct SlowDisk {
    written: SyncSender<Vec<u8>>,
    permits: Receiver<io::Result<()>>,
}

impl Write for SlowDisk {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.written.send(lines.to_vec()).map_err(io::Error::other)?;
        self.permits.recv().map_err(io::Error::other)??;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_disk_costs_lines_and_no_time() {
    let (written, writes) = sync_channel(1_000);
    let (permit, permits) = sync_channel(1_000);
    let metrics = Metrics::new(1);
    let disk = Output::Pipe(Box::new(SlowDisk { written, permits }));
    let log = AccessLog::start(disk, 1, metrics.clone()).unwrap();
    let mut worker = log.worker(0);
    worker.log(&numbered(0));
    let first = writes.recv().unwrap();
    // The thread is stuck in its write now; the queue takes what it may hold, and the rest is counted.
    let (mut queued, path) = (0, vec![b'p'; 2_000]);
    for number in 1..2_000 {
        worker.log(&Record { path: &path, ..numbered(number) });
        queued = metrics.process.access_log_lines.sum();
    }
    let dropped = metrics.process.access_log_dropped.sum();
    assert_eq!(queued + dropped, 2_000);
    assert!(dropped > 1_000 && queued > 400, "{queued} queued, {dropped} dropped");
    (0..1_000).for_each(|_| permit.send(Ok(())).unwrap());
    drop(log);
    let rest: Vec<u8> = writes.iter().flatten().collect();
    let all = [first, rest].concat();
    assert_eq!(numbers(std::str::from_utf8(&all).unwrap()), (0..queued).collect::<Vec<_>>());
}

#[test]
fn lines_that_could_not_be_written_are_counted_as_dropped() {
    let (written, _writes) = sync_channel(1_000);
    let (permit, permits) = sync_channel(1_000);
    let metrics = Metrics::new(1);
    permit.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    let log =
        AccessLog::start(Output::Pipe(Box::new(SlowDisk { written, permits })), 1, metrics.clone()).unwrap();
    log.worker(0).log(&numbered(1));
    drop(log);
    assert_eq!(metrics.process.access_log_dropped.sum(), 1);
}

#[test]
fn a_log_that_is_off_is_none() {
    assert!(AccessLog::open(&Target::Off, 1, Metrics::new(1)).unwrap().is_none());
    let folder = tempfile::tempdir().unwrap();
    assert!(AccessLog::open(&Target::File(folder.path().into()), 1, Metrics::new(1)).is_err());
}
