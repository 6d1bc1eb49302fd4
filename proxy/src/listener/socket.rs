//! Bound addresses: one listening socket per worker for TCP, one shared by all for a Unix path.
//!
//! Sockets may also be there already: a process before this one, or the service manager, had them
//! ([`crate::restart`]). Then there may be more or fewer of them than workers.
//!
//! A TCP address is bound once for each worker with `SO_REUSEPORT`: the kernel spreads new connections and no
//! worker wakes for another's. What every accepted connection needs (no delay, keep-alive probes) is set on
//! the listening socket, from which Linux hands it down, so that accepting costs one system call.

mod unix;

use super::accept::WorkerSocket;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use unix::SocketFile;
use weir_config::checked::Address;

/// Connections that the kernel keeps until they are accepted; it lowers this to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4_096;

/// A caller that vanished is noticed after 60 + 4 * 15 s of silence.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_PROBES: u32 = 4;

/// An address that is listened on. Dropping it stops listening and removes a Unix socket's file.
#[derive(Debug)]
pub struct ListenSocket {
    address: Address,
    /// One per worker for TCP, one for Unix; another number if they were there before this process.
    sockets: Vec<Socket>,
    file: Option<SocketFile>,
    /// Another process has them too, and goes on listening.
    handed_over: AtomicBool,
}

impl ListenSocket {
    /// Binds the address for this many workers. With port 0 the system chooses one port for all.
    pub fn bind(address: &Address, workers: usize) -> Result<Self, BindError> {
        let failed = |source| BindError { address: address.clone(), source };
        match address {
            Address::Tcp(address) => bind_tcp(*address, workers.max(1)),
            Address::Unix(path) => unix::bind(path),
            Address::Name { .. } | Address::Srv { .. } => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a name is no interface"))
            }
        }
        .map_err(failed)
    }

    /// Listens on what listens already: sockets of one address, for this many workers.
    pub fn taken(sockets: Vec<OwnedFd>, workers: usize) -> io::Result<Self> {
        let mut sockets: Vec<Socket> = sockets.into_iter().map(Socket::from).collect();
        let first = sockets.first().ok_or(io::ErrorKind::InvalidInput)?;
        let (local, shares) = (first.local_addr()?, first.reuse_port().unwrap_or_default());
        let handed_over = AtomicBool::new(false);
        if let Some(path) = local.as_pathname() {
            sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
            let (address, file) = (Address::Unix(path.into()), SocketFile::at(path).ok());
            return Ok(Self { address, sockets, file, handed_over });
        }
        let address = local.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        sockets.iter().try_for_each(set_options)?;
        // Workers without a socket of their own share others', if the system allows no more.
        while shares && sockets.len() < workers {
            match tcp_socket(address).and_then(|socket| socket.listen(BACKLOG).map(|()| socket)) {
                Ok(socket) => sockets.push(socket),
                Err(_) => break,
            }
        }
        Ok(Self { address: Address::Tcp(address), sockets, file: None, handed_over })
    }

    /// All its sockets once more, for another process.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Another process has them from now on: its callers must not be sent away when this one ends.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Relaxed);
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

    /// What the worker of this number, of so many, accepts from. Must be called within the worker's runtime.
    ///
    /// Connections wait at one socket until somebody takes them, so every worker has to accept from all it is given.
    pub fn for_worker(&self, worker: usize, workers: usize) -> io::Result<Vec<WorkerSocket>> {
        let count = self.sockets.len();
        let own = (0..count).filter(|at| at % workers.max(1) == worker);
        let shared = (count <= worker).then(|| worker % count);
        own.chain(shared)
            .map(|at| {
                let socket = self.sockets[at].try_clone()?;
                match self.address {
                    Address::Unix(_) => WorkerSocket::unix(socket.into()),
                    _ => WorkerSocket::tcp(socket.into()),
                }
            })
            .collect()
    }
}

impl Drop for ListenSocket {
    fn drop(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|_| !self.handed_over.load(Ordering::Relaxed)) {
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
    Ok(ListenSocket {
        address: Address::Tcp(address),
        sockets,
        file: None,
        handed_over: AtomicBool::new(false),
    })
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    v6_only(&socket, address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    set_options(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What accepted connections are to have.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_IDLE)
        .with_interval(KEEP_ALIVE_INTERVAL)
        .with_retries(KEEP_ALIVE_PROBES);
    socket.set_tcp_keepalive(&keep_alive)?;
    socket.set_nonblocking(true)
}

/// `[::]` takes IPv4 callers too.
fn v6_only(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V6(v6) => socket.set_only_v6(!v6.ip().is_unspecified()),
        SocketAddr::V4(_) => Ok(()),
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
    use std::{
        fs,
        os::unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    };

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

    #[tokio::test]
    async fn sockets_that_were_there_are_shared_out_among_any_number_of_workers() {
        let before = ListenSocket::bind(&any_port(), 3).unwrap();
        for (workers, each) in [(1, vec![3]), (2, vec![2, 1]), (3, vec![1, 1, 1]), (5, vec![1; 5])] {
            let taken = ListenSocket::taken(before.descriptors().unwrap(), workers).unwrap();
            assert_eq!(taken.address(), before.address());
            let given = |worker| taken.for_worker(worker, workers).unwrap().len();
            assert_eq!((0..workers).map(given).collect::<Vec<_>>(), each, "{workers} workers");
        }
        let lonely = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = ListenSocket::taken(vec![lonely.into()], 2).unwrap();
        assert_eq!(taken.sockets.len(), 1, "who does not share its port is shared itself");
        assert_eq!(taken.for_worker(1, 2).unwrap().len(), 1);
    }

    #[test]
    fn the_file_of_a_socket_that_was_handed_over_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let old = ListenSocket::bind(&Address::Unix(path.clone()), 1).unwrap();
        let new = ListenSocket::taken(old.descriptors().unwrap(), 1).unwrap();
        old.hand_over();
        drop(old);
        UnixStream::connect(&path).unwrap();
        drop(new);
        assert!(!path.exists());
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
