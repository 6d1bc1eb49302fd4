//! What the schema cannot say: references, files, and values that must fit together.
//!
//! Makes the checked configuration on the way. A part that is broken is left out and the rest is checked all the
//! same, so a `None` here always stands for a problem that has been reported.

mod captured;
mod cluster;
mod filter;
mod health;
mod identity;
mod listener;
mod protocol;
mod retry;
mod unused;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    Written,
    checked::{AccessLog, Admin, ClusterId, Config, Dns, Endpoint, FilterId, MemoryMark, RateLimit},
    document::{Document, Place},
    endpoints::ENDPOINTS_MAX,
    file::{self, File, FilePath, List, LogTarget, Name, WorkerCount},
    findings::Findings,
    nearest,
};

/// None: something is wrong, and has been reported.
pub(crate) fn check(
    file: &File,
    document: &Document<'_>,
    base_dir: &Path,
    findings: &mut Findings<'_>,
) -> Option<Config> {
    let mut checker = Checker {
        filters: positions(document, "filters"),
        clusters: positions(document, "clusters"),
        identities: positions(document, "identities"),
        zone: file.node.zone.as_deref(),
        document,
        base_dir,
        findings,
    };
    let root = Place::Root;
    let listeners_at = root.key("listeners");
    if !document.has(&listeners_at) {
        checker.findings.key(&root, "there is no listener", "add one: [listeners.web]");
    }
    let listeners =
        collect(&file.listeners, |name, listener| checker.listener(name, listener, &listeners_at.key(name)));
    checker.distinct_addresses(file);
    let filters_at = root.key("filters");
    let filters = collect(&file.filters, |name, filter| {
        checker.filter(name, filter, &file.clusters, &filters_at.key(name))
    });
    let clusters_at = root.key("clusters");
    let clusters =
        collect(&file.clusters, |name, cluster| checker.cluster(name, cluster, &clusters_at.key(name)));
    let policies_at = root.key("retry_policies");
    let retry_policies = collect(&file.retry_policies, |name, policy| {
        Some(checker.retry_policy(name, policy, &policies_at.key(name)))
    });
    let identities_at = root.key("identities");
    let identities = collect(&file.identities, |name, identity| {
        checker.identity(name, identity, &identities_at.key(name))
    });
    let config = Config {
        admin: file.admin.as_ref().and_then(|admin| checker.admin(admin)),
        workers: workers(&file.workers.count),
        restart: file.restart.as_ref().and_then(|restart| checker.restart(restart)),
        dns: Dns {
            servers: file.dns.servers.items().map(|(_, server)| server.0).collect(),
            timeout: file.dns.timeout.0,
        },
        cache: file.cache.directory.as_ref().map(|path| checker.path(path)),
        drain: file.drain.timeout.0,
        memory: match file.overload.memory {
            file::MemoryMark::Off => None,
            file::MemoryMark::Bytes(bytes) => Some(MemoryMark::Bytes(bytes)),
            file::MemoryMark::Percent(percent) => Some(MemoryMark::Percent(percent)),
        },
        log: file.telemetry.log,
        access_log: match &file.access_log.to {
            LogTarget::Off => AccessLog::Off,
            LogTarget::Stdout => AccessLog::Stdout,
            LogTarget::File(path) => AccessLog::File(base_dir.join(path)),
        },
        listeners: listeners?,
        filters: filters?,
        clusters: clusters?,
        limits: collect(&file.limits, rate_limit)?,
        retry_policies: retry_policies?,
        identities: identities?,
        warnings: Vec::new(),
        written: Written::default(),
    };
    unused::warn(&config, document, checker.findings);
    Some(config)
}

/// The endpoints of a file of their own. None: something is wrong, and has been reported.
pub(crate) fn endpoints(
    file: &file::EndpointsFile,
    document: &Document<'_>,
    base_dir: &Path,
    unnamed_tls: bool,
    findings: &mut Findings<'_>,
) -> Option<Vec<Endpoint>> {
    let (filters, clusters, identities) = Default::default();
    let mut checker = Checker { filters, clusters, identities, zone: None, document, base_dir, findings };
    let root = Place::Root;
    let at = root.key("endpoints");
    let listed = checker.listed(&file.endpoints, &at, unnamed_tls);
    if listed.len() > ENDPOINTS_MAX {
        checker.findings.key(
            &at,
            format!("{} endpoints are too many", listed.len()),
            format!("at most {ENDPOINTS_MAX}"),
        );
    }
    listed.into_iter().collect()
}

/// Bytes of the path of the restart socket: what the kernel allows, less a suffix for its successor.
const RESTART_PATH_MAX: usize = 90;

struct Checker<'a, 'd> {
    filters: BTreeMap<&'a str, u32>,
    clusters: BTreeMap<&'a str, u32>,
    identities: BTreeMap<&'a str, u32>,
    /// Of the process.
    zone: Option<&'a str>,
    document: &'a Document<'a>,
    base_dir: &'a Path,
    findings: &'a mut Findings<'d>,
}

impl Checker<'_, '_> {
    fn admin(&mut self, admin: &file::Admin) -> Option<Admin> {
        let address = admin.address.as_ref()?.0;
        if !address.ip().is_loopback() {
            self.findings.warn(
                &Place::Root.key("admin").key("address"),
                "the admin API can be reached from other machines",
                format!("whoever reaches it can drain the proxy: \"127.0.0.1:{}\"", address.port()),
            );
        }
        Some(Admin { address })
    }

    fn restart(&mut self, restart: &file::Restart) -> Option<PathBuf> {
        let path = self.path(restart.socket.as_ref()?);
        if path.as_os_str().len() > RESTART_PATH_MAX {
            let reason = format!("the path is {} bytes long", path.as_os_str().len());
            let help = format!("at most {RESTART_PATH_MAX}: \"/run/weir/restart.sock\"");
            self.findings.value(&Place::Root.key("restart").key("socket"), reason, help);
        }
        Some(path)
    }

    fn filter_id(&mut self, name: &Name, at: &Place<'_>) -> Option<FilterId> {
        let found = self.filters.get(name.0.as_str()).copied().map(FilterId);
        if found.is_none() {
            let none = format!("no filter is configured; add [filters.{}]", name.0);
            let help = nearest::help(&name.0, self.filters.keys().copied(), &none);
            self.findings.value(at, format!("there is no filter `{}`", name.0), help);
        }
        found
    }

    fn cluster_id(&mut self, name: &Name, at: &Place<'_>) -> Option<ClusterId> {
        let found = self.clusters.get(name.0.as_str()).copied().map(ClusterId);
        if found.is_none() {
            let none = format!("no cluster is configured; add [clusters.{}]", name.0);
            let help = nearest::help(&name.0, self.clusters.keys().copied(), &none);
            self.findings.value(at, format!("there is no cluster `{}`", name.0), help);
        }
        found
    }

    fn cluster_ids(&mut self, names: &List<Name>, at: &Place<'_>) -> Vec<ClusterId> {
        names.items().filter_map(|(i, name)| self.cluster_id(name, &at.item(i))).collect()
    }

    /// Whether the same file is there and can be opened is all that is asked here: what is in it is for the proxy
    /// to read, at the moment it is used.
    fn existing(&mut self, path: &FilePath, at: &Place<'_>) -> PathBuf {
        let full = self.path(path);
        let trouble = match std::fs::metadata(&full) {
            Ok(found) if found.is_dir() => Some("it is a folder".to_owned()),
            // Opening anything else, a pipe for one, could wait for ever.
            Ok(found) if found.is_file() => std::fs::File::open(&full).err().map(|e| e.to_string()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(trouble) = trouble {
            let reason = format!("`{}` cannot be read: {trouble}", path.0.escape_debug());
            self.findings.value(at, reason, format!("looked for it at {}", full.display()));
        }
        full
    }

    fn path(&self, path: &FilePath) -> PathBuf {
        self.base_dir.join(&path.0)
    }

    fn certificate(
        &mut self,
        file: &file::Certificate,
        at: &Place<'_>,
    ) -> Option<crate::checked::Certificate> {
        let cert = file.cert.as_ref().map(|path| self.existing(path, &at.key("cert")));
        let key = file.key.as_ref().map(|path| self.existing(path, &at.key("key")));
        Some(crate::checked::Certificate { cert: cert?, key: key? })
    }
}

/// Names of a section with their positions in it. From the document, so that one that is broken is known too.
fn positions<'d>(document: &'d Document<'_>, section: &str) -> BTreeMap<&'d str, u32> {
    document.keys(&Place::Root.key(section)).into_iter().zip(0..).collect()
}

/// None if one is; but each is looked at.
fn collect<F, T>(named: &file::Named<F>, mut check: impl FnMut(&str, &F) -> Option<T>) -> Option<Vec<T>> {
    let checked: Vec<Option<T>> = named.iter().map(|(name, file)| check(name, file)).collect();
    checked.into_iter().collect()
}

fn workers(count: &WorkerCount) -> usize {
    match count {
        WorkerCount::Exactly(count) => *count,
        WorkerCount::Cores => {
            std::thread::available_parallelism().map_or(1, |cores| cores.get().min(WorkerCount::MAX))
        }
    }
}

fn rate_limit(name: &str, file: &file::RateLimit) -> Option<RateLimit> {
    Some(RateLimit { name: name.into(), per_second: file.per_second?, burst: file.burst? })
}
