//! How much memory the process may use: the least that its cgroup and those above it allow (cgroups(7), versions 1 and
//! 2), or what the machine has.

use std::{fs, path::Path};

/// None: this system does not tell.
pub(super) fn of_process() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|meminfo| total(&meminfo));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    within(Path::new("/sys/fs/cgroup"), &own).into_iter().chain(machine).min()
}

/// `MemTotal:       16318480 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The least limit on the way from a cgroup to the root; `own` is `/proc/self/cgroup`.
fn within(root: &Path, own: &str) -> Option<u64> {
    let lines = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    let limits = lines.flat_map(|(controllers, path)| {
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            some if some.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        // A container sees its own cgroup as the root, whatever it is called outside.
        let below = Path::new(path.trim_start_matches('/'));
        let read = |at: &Path| fs::read_to_string(folder.join(at).join(file)).ok()?.trim().parse().ok();
        below.ancestors().filter_map(read).collect::<Vec<u64>>()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str, content: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        at("a/b/memory.max", "max\n");
        assert_eq!(within(root.path(), "0::/a/b\n"), None);
        at("a/memory.max", "300\n");
        at("memory.max", "700\n");
        assert_eq!(within(root.path(), "0::/a/b\n"), Some(300));
        assert_eq!(within(root.path(), "0::/\n"), Some(700));
        assert_eq!(within(root.path(), "0::/elsewhere\n"), Some(700), "a container's view");
        at("memory/x/memory.limit_in_bytes", "200\n");
        assert_eq!(within(root.path(), "4:cpu,memory:/x\n1:name=systemd:/a\n"), Some(200));
        assert_eq!(within(root.path(), "nonsense"), None);
    }

    #[test]
    fn this_machine_has_a_limit() {
        assert!(of_process().is_some_and(|bytes| bytes > 16 << 20));
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       16 kB\n"), Some(16 * 1024));
    }
}
