//! Bound addresses: one listening socket per worker for TCP, one shared by all for a Unix path.
//!
//! A TCP address is bound once for each worker with `SO_REUSEPORT`: the kernel spreads new connections and no
//! worker wakes for another's. What every accepted connection needs (no delay, keep-alive probes) is set on
//! the listening socket, from which Linux hands it down, so that accepting costs one system call.

use super::accept::WorkerSocket;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::{
    fmt,
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use weir_config::checked::Address;

/// Connections that the kernel keeps until they are accepted; it lowers this to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4_096;

/// A caller that vanished is noticed after 60 + 4 * 15 s of silence.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_PROBES: u32 = 4;

/// Who may connect to a Unix socket: its owner and its group.
const UNIX_MODE: u32 = 0o660;

/// An address that is listened on. Dropping it stops listening and removes a Unix socket's file.
#[derive(Debug)]
pub struct ListenSocket {
    address: Address,
    /// One per worker for TCP, one for Unix.
    sockets: Vec<Socket>,
    file: Option<SocketFile>,
}

impl ListenSocket {
    /// Binds the address for this many workers. With port 0 the system chooses one port for all.
    pub fn bind(address: &Address, workers: usize) -> Result<Self, BindError> {
        let failed = |source| BindError { address: address.clone(), source };
        match address {
            Address::Tcp(address) => bind_tcp(*address, workers.max(1)),
            Address::Unix(path) => bind_unix(path),
            Address::Name { .. } | Address::Srv { .. } => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a name is no interface"))
            }
        }
        .map_err(failed)
    }

    /// Fails if anybody listens on the address, where [`ListenSocket::bind`] would join another process that
    /// shares its port: connections would go to either. Another process can still come in between.
    pub fn probe(address: &Address) -> Result<(), BindError> {
        let Address::Tcp(tcp) = address else { return Ok(()) };
        let probed =
            Socket::new(Domain::for_address(*tcp), Type::STREAM, Some(Protocol::TCP)).and_then(|socket| {
                v6_only(&socket, *tcp)?;
                // As `bind` does: connections of an earlier process that are being closed are no obstacle.
                socket.set_reuse_address(true)?;
                socket.bind(&(*tcp).into())
            });
        probed.map_err(|source| BindError { address: address.clone(), source })
    }

    /// The address that callers can connect to: with the port that was chosen.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the worker of this number accepts from. Must be called within the worker's runtime.
    ///
    /// Connections wait at the socket of one worker until that worker takes them, so every worker of
    /// [`ListenSocket::bind`] has to accept.
    pub fn for_worker(&self, worker: usize) -> io::Result<WorkerSocket> {
        let at = worker % self.sockets.len();
        let socket = self.sockets[at].try_clone()?;
        match self.address {
            Address::Unix(_) => WorkerSocket::unix(socket.into()),
            _ => WorkerSocket::tcp(socket.into()),
        }
    }
}

impl Drop for ListenSocket {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

fn bind_tcp(mut address: SocketAddr, workers: usize) -> io::Result<ListenSocket> {
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = tcp_socket(address)?;
        // The first one learns the port that the others join.
        address = socket.local_addr()?.as_socket().unwrap_or(address);
        sockets.push(socket);
    }
    // Listening begins when all are bound: a failure half-way has attracted no connection.
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(ListenSocket { address: Address::Tcp(address), sockets, file: None })
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    v6_only(&socket, address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_IDLE)
        .with_interval(KEEP_ALIVE_INTERVAL)
        .with_retries(KEEP_ALIVE_PROBES);
    socket.set_tcp_keepalive(&keep_alive)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// `[::]` takes IPv4 callers too.
fn v6_only(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V6(v6) => socket.set_only_v6(!v6.ip().is_unspecified()),
        SocketAddr::V4(_) => Ok(()),
    }
}

fn bind_unix(path: &Path) -> io::Result<ListenSocket> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::at(path)?;
    // Nobody can connect before `listen`, so there is no moment at which the mode is too wide.
    let listening =
        fs::set_permissions(path, Permissions::from_mode(UNIX_MODE)).and_then(|()| socket.listen(BACKLOG));
    if let Err(error) = listening {
        file.remove();
        return Err(error);
    }
    Ok(ListenSocket { address: Address::Unix(path.into()), sockets: vec![socket], file: Some(file) })
}

/// Removes a socket file that nobody listens on any more, left by a process that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog must not hold the start up; it also means that somebody listens.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a Unix socket, known by more than its name: a successor may have taken the name.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.into(), device: found.dev(), inode: found.ino() })
    }

    fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}: {source}{}", Shown(address), hint(source))]
pub struct BindError {
    /// As configured.
    pub address: Address,
    /// What the system said.
    pub source: io::Error,
}

struct Shown<'a>(&'a Address);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Tcp(address) => address.fmt(f),
            Address::Name { host, port } => write!(f, "{host}:{port}"),
            Address::Srv { service } => write!(f, "srv:{service}"),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => " (another process listens there)",
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE; a Unix socket needs write permission on its directory)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has the address)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn any_port() -> Address {
        Address::Tcp(([127, 0, 0, 1], 0).into())
    }

    fn port(socket: &ListenSocket) -> u16 {
        let Address::Tcp(address) = socket.address() else { panic!("not TCP") };
        address.port()
    }

    #[test]
    fn all_workers_join_the_port_that_was_chosen() {
        let bound = ListenSocket::bind(&any_port(), 3).unwrap();
        assert_ne!(port(&bound), 0);
        let ports: Vec<_> =
            bound.sockets.iter().map(|s| s.local_addr().unwrap().as_socket().unwrap().port()).collect();
        assert_eq!(ports, [port(&bound); 3]);
    }

    #[test]
    fn a_port_that_another_process_shares_is_found_taken() {
        let bound = ListenSocket::bind(&any_port(), 1).unwrap();
        let error = ListenSocket::probe(bound.address()).unwrap_err().to_string();
        assert!(error.contains("another process listens there"), "{error}");
        let free = bound.address().clone();
        drop(bound);
        ListenSocket::probe(&free).unwrap();
    }

    #[test]
    fn an_address_in_use_is_named_with_a_hint() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = ListenSocket::bind(&Address::Tcp(address), 1).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        assert!(error.ends_with("(another process listens there)"), "{error}");
    }

    #[test]
    fn only_the_unspecified_ipv6_address_also_takes_ipv4() {
        let Ok(every) = ListenSocket::bind(&Address::Tcp("[::]:0".parse().unwrap()), 1) else {
            return eprintln!("this machine has no IPv6");
        };
        assert!(!every.sockets[0].only_v6().unwrap());
        let one = ListenSocket::bind(&Address::Tcp("[::1]:0".parse().unwrap()), 1).unwrap();
        assert!(one.sockets[0].only_v6().unwrap());
    }

    #[test]
    fn a_unix_socket_admits_owner_and_group_and_goes_away_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let bound = ListenSocket::bind(&Address::Unix(path.clone()), 4).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let address = Address::Unix(path.clone());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = ListenSocket::bind(&address, 1).unwrap();
        let second = ListenSocket::bind(&address, 1).unwrap_err();
        assert_eq!(second.source.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        drop(bound);
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        let error = ListenSocket::bind(&Address::Unix(path.clone()), 1).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_successors_socket_file_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let bound = ListenSocket::bind(&Address::Unix(path.clone()), 1).unwrap();
        let successor = folder.path().join("next.sock");
        let _listening = UnixListener::bind(&successor).unwrap();
        fs::rename(&successor, &path).unwrap();
        drop(bound);
        UnixStream::connect(&path).unwrap();
    }
}
