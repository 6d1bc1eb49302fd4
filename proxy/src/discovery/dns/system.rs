//! [`System`]: how this machine is set up to resolve names, by its hosts file and resolv.conf(5).

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    time::Duration,
};

use resolv_conf::Config;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// As many as glibc takes.
const SERVERS: usize = 3;
/// Bounds on what the file says: a lookup must end.
const LONGEST: Duration = Duration::from_secs(5);
const MOST_ATTEMPTS: u32 = 4;
const SEARCHED: usize = 8;

/// One state of the machine's files.
pub(super) struct System {
    stamps: [Stamp; 2],
    hosts: HashMap<String, Vec<IpAddr>>,
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    timeout: Duration,
    attempts: u32,
}

/// Tells states of a file apart.
type Stamp = Option<(u64, u64, i64, i64)>;

impl System {
    /// The files as they are now.
    pub(super) fn now() -> Self {
        let stamps = stamps();
        let hosts = fs::read_to_string(HOSTS).unwrap_or_default();
        let config = fs::read(RESOLV_CONF).unwrap_or_default();
        Self { stamps, ..Self::of(&hosts, &config) }
    }

    fn of(hosts: &str, config: &[u8]) -> Self {
        // What is not understood is left out, as glibc does.
        let (config, _) = Config::parse_with_errors(config);
        let servers = config.nameservers.iter().map(|ip| SocketAddr::new(ip.clone().into(), PORT));
        let mut servers: Vec<SocketAddr> = servers.take(SERVERS).collect();
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        let search = config.get_last_search_or_domain().filter(|domain| *domain != ".");
        Self {
            stamps: [None; 2],
            hosts: hosts_of(hosts),
            servers,
            search: search.take(SEARCHED).map(|domain| domain.trim_end_matches('.').to_owned()).collect(),
            ndots: config.ndots as usize,
            timeout: Duration::from_secs(config.timeout.into()).clamp(Duration::from_secs(1), LONGEST),
            attempts: config.attempts.clamp(1, MOST_ATTEMPTS),
        }
    }

    /// Whether the files are as they were read.
    pub(super) fn is_current(&self) -> bool {
        self.stamps == stamps()
    }

    /// What the hosts file says of a name.
    pub(super) fn listed(&self, name: &str) -> Option<&[IpAddr]> {
        self.hosts.get(name.trim_end_matches('.')).map(Vec::as_slice)
    }

    /// Who is asked, in this order.
    pub(super) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// How long one server may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How often all servers are asked.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The whole names that a name may be short for, in the order in which they are to be asked for.
    pub(super) fn names(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let at = if name.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

/// hosts(5): an address and its names in each line.
fn hosts_of(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            let addresses = hosts.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    hosts
}

fn stamps() -> [Stamp; 2] {
    [HOSTS, RESOLV_CONF].map(|path| {
        let found = fs::metadata(path).ok()?;
        Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_addresses_of_both_families_and_several_names() {
        let hosts = "127.0.0.1 localhost Home # not this\n::1 localhost\n# 10.0.0.1 no\nnonsense here\n10.0.0.2 a. a\n";
        let system = System::of(hosts, b"");
        let of =
            |name| system.listed(name).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of("localhost").unwrap(), ["127.0.0.1", "::1"]);
        assert_eq!((of("home").unwrap().len(), of("a").unwrap().len()), (1, 1));
        assert_eq!((of("no"), of("not"), of("here")), (None, None, None));
    }

    #[test]
    fn short_names_are_searched_for_first_and_whole_ones_last() {
        let config = b"nameserver 10.0.0.53\nsearch ns.svc.cluster.local svc.cluster.local\noptions ndots:2 timeout:60\n";
        let system = System::of("", config);
        assert_eq!(system.servers(), [SocketAddr::from(([10, 0, 0, 53], 53))]);
        assert_eq!(system.names("users"), ["users.ns.svc.cluster.local", "users.svc.cluster.local", "users"]);
        assert_eq!(system.names("a.b.example")[0], "a.b.example");
        assert_eq!(system.names("users."), ["users"]);
        assert_eq!(system.timeout(), LONGEST);
    }

    #[test]
    fn without_a_file_the_machine_itself_is_asked() {
        let system = System::of("", b"");
        assert_eq!(system.servers(), [SocketAddr::from(([127, 0, 0, 1], 53))]);
        assert_eq!((system.names("a"), system.attempts()), (vec!["a".to_owned()], 2));
    }
}
