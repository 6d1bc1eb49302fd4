//! Values that say where something is on the network: addresses to listen on, to connect to, to fetch from.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, SocketAddr},
};

use super::value::{Leaf, Rejection, leaf, written};
use crate::checked::Address;

/// Bytes of a path that the kernel accepts for a Unix socket (`sockaddr_un.sun_path` less its final zero).
const UNIX_PATH_MAX: usize = 107;

leaf!(AdminAddress, DnsServer, ListenerAddress, EndpointAddress, Url, ServerName);

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

/// A server of the domain name system.
pub(crate) struct DnsServer(pub(crate) SocketAddr);

/// RFC 1035 4.2.
const DNS_PORT: u16 = 53;

impl Leaf for DnsServer {
    const FORMAT: &'static str = "dns-server";
    const MEANING: &'static str = "An IP address, with a port unless that is 53: `\"10.0.0.2\"`, \
        `\"10.0.0.2:5353\"`, `\"[fd00::2]:5353\"`.";

    fn parse(text: &str) -> Result<DnsServer, Rejection> {
        let address = match text.parse::<IpAddr>() {
            Ok(ip) => Some(SocketAddr::new(ip, DNS_PORT)),
            Err(_) => text.parse().ok().filter(|address: &SocketAddr| address.port() != 0),
        };
        address.map(DnsServer).ok_or_else(|| {
            let help = "write its IP address: \"10.0.0.2\", \"10.0.0.2:5353\"";
            Rejection::new(format!("`{}` is not a DNS server", text.escape_debug()), help)
        })
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
        `\"users.internal:8080\"`, `\"unix:/run/users.sock\"`; or a name of which SRV records tell hosts, ports \
        and weights (RFC 2782): `\"srv:_http._tcp.users.internal\"`. Of these the hosts of the first priority \
        serve.";

    fn parse(text: &str) -> Result<EndpointAddress, Rejection> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map(EndpointAddress);
        }
        let refuse = |help: &str| Err(Rejection::new(format!("`{text}` is not an address"), help));
        if let Some(service) = text.strip_prefix("srv:") {
            return match is_host(service) {
                true => Ok(EndpointAddress(Address::Srv { service: service.to_ascii_lowercase().into() })),
                false => refuse("write the records' name, without a port: \"srv:_http._tcp.users.internal\""),
            };
        }
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
pub(crate) fn is_host(text: &str) -> bool {
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

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Name { host, port } => write!(f, "{host}:{port}"),
            Address::Srv { service } => write!(f, "srv:{service}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

written! {
    AdminAddress: self, f => self.0.fmt(f);
    DnsServer: self, f => self.0.fmt(f);
    ListenerAddress: self, f => self.0.fmt(f);
    EndpointAddress: self, f => self.0.fmt(f);
    ServerName: self, f => f.write_str(&self.0);
    Url: self, f => {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority, self.path)
    };
}
