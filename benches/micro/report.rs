//! The figures of a run as one file of JSON, gathered from what criterion leaves behind of each benchmark.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::{Value, json};

/// Where criterion leaves it: beside what cargo builds.
pub(crate) fn home() -> PathBuf {
    if let Some(home) = std::env::var_os("CRITERION_HOME") {
        return home.into();
    }
    // This program is target/release/deps/micro-*.
    let own = std::env::current_exe().expect("this program has a path");
    own.ancestors().nth(3).unwrap_or(Path::new("target")).join("criterion")
}

/// Writes what was measured since then.
pub(crate) fn write(file: &Path, since: SystemTime) {
    let mut all = Vec::new();
    gather(&home(), since, &mut all);
    all.sort_by_key(|one| one["name"].to_string());
    let text = serde_json::to_vec_pretty(&all).expect("values become text");
    std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn gather(folder: &Path, since: SystemTime, all: &mut Vec<Value>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let folder = entry.path();
        if entry.file_name() != "new" {
            gather(&folder, since, all);
            continue;
        }
        let file = folder.join("estimates.json");
        let fresh = file.metadata().and_then(|is| is.modified()).is_ok_and(|changed| changed >= since);
        let read = |name: &str| {
            let text = std::fs::read(folder.join(name)).unwrap_or_default();
            serde_json::from_slice::<Value>(&text).unwrap_or_default()
        };
        if fresh {
            let median = &read("estimates.json")["median"];
            all.push(json!({
                "name": read("benchmark.json")["full_id"],
                "ns": median["point_estimate"],
                "ns_low": median["confidence_interval"]["lower_bound"],
                "ns_high": median["confidence_interval"]["upper_bound"],
            }));
        }
    }
}
