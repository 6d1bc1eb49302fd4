//! Values that are texts with a syntax of their own: names, addresses, paths and sources.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, SocketAddr},
};

use super::value::{Leaf, Rejection, leaf};
use crate::{checked::Address, nearest};

/// The filters that come with the proxy, as in `wasm = "builtin:NAME"`.
pub const BUILTIN_FILTERS: [&str; 5] = ["router", "jwt", "api-key", "canary", "circuit-breaker"];

/// Bytes of a path that the kernel accepts for a Unix socket (`sockaddr_un.sun_path` less its final zero).
const UNIX_PATH_MAX: usize = 107;

leaf!(
    Name,
    AdminAddress,
    ListenerAddress,
    EndpointAddress,
    FilePath,
    LogTarget,
    Wasm,
    Sha256,
    Url,
    ServerName,
    WorkerCount
);

/// What operators call a listener, filter, cluster, limit or data entry.
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) const PATTERN: &'static str = "^[a-z0-9_-]{1,64}$";
}

impl Leaf for Name {
    const FORMAT: &'static str = "name";
    const MEANING: &'static str = "1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`. Names are labels of metrics.";

    fn parse(text: &str) -> Result<Name, Rejection> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Name(text.into()));
        }
        Err(Rejection::new(
            format!("`{}` is not a name", text.escape_debug()),
            "a name is 1 to 64 of a-z, 0-9, `_` and `-`",
        ))
    }
}

/// An IP address and a port.
pub(crate) struct AdminAddress(pub(crate) SocketAddr);

impl Leaf for AdminAddress {
    const FORMAT: &'static str = "ip-address";
    const MEANING: &'static str = "An IP address and a port: `\"127.0.0.1:9901\"`, `\"[::1]:9901\"`. Port 0: \
        any free one.";

    fn parse(text: &str) -> Result<AdminAddress, Rejection> {
        literal(text).map(AdminAddress)
    }
}

/// Where to listen: never a name to resolve.
pub(crate) struct ListenerAddress(pub(crate) Address);

impl Leaf for ListenerAddress {
    const FORMAT: &'static str = "listener-address";
    const MEANING: &'static str = "An IP address and a port, or a Unix socket: `\"0.0.0.0:8443\"`, \
        `\"[::]:8443\"`, `\"unix:/run/weir.sock\"`. Port 0: any free one.";

    fn parse(text: &str) -> Result<ListenerAddress, Rejection> {
        match text.strip_prefix("unix:") {
            Some(path) => unix(path).map(ListenerAddress),
            None => literal(text).map(|address| ListenerAddress(Address::Tcp(address))),
        }
    }
}

/// Where to connect.
pub(crate) struct EndpointAddress(pub(crate) Address);

impl Leaf for EndpointAddress {
    const FORMAT: &'static str = "endpoint-address";
    const MEANING: &'static str = "A host and a port, or a Unix socket: `\"10.0.0.1:8080\"`, `\"[::1]:8080\"`, \
        `\"users.internal:8080\"`, `\"unix:/run/users.sock\"`. Names are resolved when the configuration is \
        loaded.";

    fn parse(text: &str) -> Result<EndpointAddress, Rejection> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map(EndpointAddress);
        }
        let refuse = |help: &str| Err(Rejection::new(format!("`{text}` is not an address"), help));
        if text.contains("://") {
            return refuse("write host and port only; TLS is chosen by the cluster's `tls`");
        }
        let address = match text.parse::<SocketAddr>() {
            Ok(address) => Address::Tcp(address),
            Err(_) => match text.rsplit_once(':') {
                Some((host, port)) if is_host(host) => match port.parse() {
                    Ok(port) => Address::Name { host: host.to_ascii_lowercase().into(), port },
                    Err(_) => return refuse("a port is a number from 1 to 65535"),
                },
                _ if is_host(text) => return refuse("the port is missing: \"10.0.0.1:8080\""),
                _ => {
                    return refuse(
                        "write host:port or unix:/path: \"10.0.0.1:8080\", \"users.internal:8080\"",
                    );
                }
            },
        };
        match address {
            Address::Tcp(to) if to.port() == 0 => refuse("nothing can be reached on port 0"),
            Address::Name { port: 0, .. } => refuse("nothing can be reached on port 0"),
            _ => Ok(EndpointAddress(address)),
        }
    }
}

fn literal(text: &str) -> Result<SocketAddr, Rejection> {
    text.parse().map_err(|_| {
        let help = match text.rsplit_once(':') {
            Some(("", port)) if port.parse::<u16>().is_ok() => {
                format!("write the IP address too: \"0.0.0.0:{port}\" is every IPv4 address of this host")
            }
            Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
                format!("names are not resolved here: \"127.0.0.1:{port}\"")
            }
            _ if text.parse::<IpAddr>().is_ok() => "the port is missing: \"127.0.0.1:8080\"".into(),
            _ => "write an IP address and a port: \"127.0.0.1:8080\", \"[::1]:8080\"".into(),
        };
        Rejection::new(format!("`{text}` is not an address to listen on"), help)
    })
}

fn unix(path: &str) -> Result<Address, Rejection> {
    let refuse = |help: String| Err(Rejection::new(format!("`unix:{path}` is not an address"), help));
    if path.is_empty() || path.contains('\0') {
        return refuse("write the socket's path: \"unix:/run/weir.sock\"".into());
    }
    if path.len() > UNIX_PATH_MAX {
        return refuse(format!("the path is {} bytes long; the kernel allows {UNIX_PATH_MAX}", path.len()));
    }
    Ok(Address::Unix(path.into()))
}

/// A DNS name: dots between labels of letters, digits, `-` and `_` (RFC 1123 2.1; `_` occurs in practice).
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let looks_numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.len() <= 253
        && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
        && (!looks_numeric || text.parse::<IpAddr>().is_ok())
}

pub(crate) struct FilePath(pub(crate) String);

impl Leaf for FilePath {
    const FORMAT: &'static str = "path";
    const MEANING: &'static str = "A path; relative ones begin at the folder of the configuration file.";

    fn parse(text: &str) -> Result<FilePath, Rejection> {
        if text.is_empty() || text.contains('\0') {
            return Err(Rejection::new(format!("`{}` is not a path", text.escape_debug()), ""));
        }
        Ok(FilePath(text.into()))
    }
}

#[derive(Default)]
pub(crate) enum LogTarget {
    #[default]
    Off,
    Stdout,
    File(String),
}

impl Leaf for LogTarget {
    const FORMAT: &'static str = "access-log-target";
    const MEANING: &'static str = "`\"off\"`, `\"stdout\"`, or a path.";

    fn parse(text: &str) -> Result<LogTarget, Rejection> {
        match text {
            "off" => Ok(LogTarget::Off),
            "stdout" => Ok(LogTarget::Stdout),
            "stderr" => Err(Rejection::new(
                "the access log cannot go to `stderr`, where Weir's own messages go",
                "write \"off\", \"stdout\", or a path",
            )),
            path => FilePath::parse(path).map(|path| LogTarget::File(path.0)),
        }
    }
}

pub(crate) enum Wasm {
    Builtin(String),
    File(String),
}

impl Leaf for Wasm {
    const FORMAT: &'static str = "filter-source";
    const MEANING: &'static str = "`\"builtin:NAME\"` for a filter that comes with Weir (`router`, `jwt`, \
        `api-key`, `canary`, `circuit-breaker`), or the path of a WebAssembly file.";

    fn parse(text: &str) -> Result<Wasm, Rejection> {
        if let Some(name) = text.strip_prefix("builtin:") {
            if BUILTIN_FILTERS.contains(&name) {
                return Ok(Wasm::Builtin(name.into()));
            }
            let help = nearest::help(name, BUILTIN_FILTERS, "");
            return Err(Rejection::new(format!("there is no builtin filter `{name}`"), help));
        }
        if let Some((scheme @ ("oci" | "http" | "https" | "file"), _)) = text.split_once("://") {
            return Err(Rejection::new(
                format!("filters cannot be loaded from `{scheme}` addresses yet"),
                "possible now: \"builtin:NAME\" or the path of a file",
            ));
        }
        if BUILTIN_FILTERS.contains(&text) {
            return Err(Rejection::new(
                format!("`{text}` is not a file"),
                format!("for the filter that comes with Weir write \"builtin:{text}\""),
            ));
        }
        FilePath::parse(text).map(|path| Wasm::File(path.0))
    }
}

pub(crate) struct Sha256(pub(crate) [u8; 32]);

impl Leaf for Sha256 {
    const FORMAT: &'static str = "sha256";
    const MEANING: &'static str = "64 hexadecimal digits, as `sha256sum` prints them.";

    fn parse(text: &str) -> Result<Sha256, Rejection> {
        let refuse = |help: String| Rejection::new("this is not a SHA-256", help);
        if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(refuse(format!("write 64 hexadecimal digits; `{}` is none", wrong.escape_debug())));
        }
        if text.len() != 64 {
            return Err(refuse(format!("write 64 hexadecimal digits; there are {}", text.len())));
        }
        let mut sum = [0; 32];
        for (byte, pair) in sum.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Ok(Sha256(sum))
    }
}

/// An address to fetch; without user, password and fragment.
pub(crate) struct Url {
    pub(crate) secure: bool,
    pub(crate) authority: String,
    /// With query; begins with `/`.
    pub(crate) path: String,
}

impl Leaf for Url {
    const FORMAT: &'static str = "url";
    const MEANING: &'static str = "`\"https://host/path\"` or `\"http://host:port/path\"`.";

    fn parse(text: &str) -> Result<Url, Rejection> {
        // What was written is not repeated: it may hold a password.
        let refuse = |help: &str| Rejection::new("this is not an address to fetch", help);
        let form = "write \"https://host/path\" or \"http://host:port/path\"";
        let (secure, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(refuse(form)),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(refuse("user and password are not supported in addresses"));
        }
        if path.contains('#') {
            return Err(refuse("a fragment (`#...`) is never sent; leave it out"));
        }
        if !is_authority(authority) || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refuse(form));
        }
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        Ok(Url { secure, authority: authority.to_ascii_lowercase(), path })
    }
}

fn is_authority(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() || is_host(text) {
        return true;
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()) {
        return true;
    }
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

/// A name or IP address that a certificate can be verified for.
pub(crate) struct ServerName(pub(crate) String);

impl Leaf for ServerName {
    const FORMAT: &'static str = "server-name";
    const MEANING: &'static str = "A DNS name or an IP address, without a port.";

    fn parse(text: &str) -> Result<ServerName, Rejection> {
        if is_host(text) || text.parse::<IpAddr>().is_ok() {
            return Ok(ServerName(text.to_ascii_lowercase()));
        }
        Err(Rejection::new(
            format!("`{}` is not a server name", text.escape_debug()),
            "write a DNS name or an IP address, without a port: \"users.internal\"",
        ))
    }
}

#[derive(Default)]
pub(crate) enum WorkerCount {
    #[default]
    Cores,
    Exactly(usize),
}

impl WorkerCount {
    pub(crate) const MAX: usize = 1024;
}

impl Leaf for WorkerCount {
    const FORMAT: &'static str = "worker-count";
    const MEANING: &'static str = "`\"cores\"`, or a number from 1 to 1024.";
    const NUMBER: bool = true;

    fn parse(text: &str) -> Result<WorkerCount, Rejection> {
        match text {
            "cores" => Ok(WorkerCount::Cores),
            _ => Err(Rejection::new(
                format!("`{}` is not a number of workers", text.escape_debug()),
                "write \"cores\", or a number from 1 to 1024 without quotes",
            )),
        }
    }

    fn from_number(number: i64) -> Result<WorkerCount, Rejection> {
        match usize::try_from(number) {
            Ok(count @ 1..=WorkerCount::MAX) => Ok(WorkerCount::Exactly(count)),
            _ => Err(Rejection::new(
                format!("`{number}` is not a number of workers"),
                "write \"cores\", or a number from 1 to 1024",
            )),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Name { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// As they are written in the file.
macro_rules! written {
    ($($leaf:ident: $self:ident, $f:ident => $write:expr;)*) => {$(
        impl Display for $leaf {
            fn fmt(&$self, $f: &mut Formatter<'_>) -> fmt::Result {
                $write
            }
        }
    )*};
}

written! {
    Name: self, f => f.write_str(&self.0);
    AdminAddress: self, f => self.0.fmt(f);
    ListenerAddress: self, f => self.0.fmt(f);
    EndpointAddress: self, f => self.0.fmt(f);
    FilePath: self, f => f.write_str(&self.0);
    Sha256: self, f => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
    ServerName: self, f => f.write_str(&self.0);
    Url: self, f => {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority, self.path)
    };
    Wasm: self, f => match self {
        Wasm::Builtin(name) => write!(f, "builtin:{name}"),
        Wasm::File(path) => f.write_str(path),
    };
    LogTarget: self, f => f.write_str(match self {
        LogTarget::Off => "off",
        LogTarget::Stdout => "stdout",
        LogTarget::File(path) => path,
    });
    WorkerCount: self, f => match self {
        WorkerCount::Cores => f.write_str("cores"),
        WorkerCount::Exactly(count) => count.fmt(f),
    };
}
