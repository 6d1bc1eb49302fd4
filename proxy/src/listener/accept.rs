//! Taking connections from a socket, and what to make of it when that fails.

use socket2::SockRef;
use std::{
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// What one worker accepts from.
#[derive(Debug)]
pub enum WorkerSocket {
    /// The worker's own.
    Tcp(TcpListener),
    /// Shared by all workers.
    Unix(UnixListener),
}

impl WorkerSocket {
    pub(super) fn tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        TcpListener::from_std(socket).map(WorkerSocket::Tcp)
    }

    pub(super) fn unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        UnixListener::from_std(socket).map(WorkerSocket::Unix)
    }

    /// Waits for a connection. May be dropped at any time without losing one.
    ///
    /// An error says nothing about the socket's future until [`AcceptFault::of`] has looked at it.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            WorkerSocket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok(Accepted::Tcp(stream, unmapped(peer)))
            }
            WorkerSocket::Unix(socket) => Ok(Accepted::Unix(socket.accept().await?.0)),
        }
    }

    /// Takes a connection that waits in the backlog. None: there is none. The system itself is asked, since
    /// the reactor may not know of it yet.
    pub fn take_waiting(&self) -> io::Result<Option<Accepted>> {
        let accepted = match self {
            WorkerSocket::Tcp(socket) => SockRef::from(socket).accept(),
            WorkerSocket::Unix(socket) => SockRef::from(socket).accept(),
        };
        let (stream, peer) = match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            accepted => accepted?,
        };
        stream.set_nonblocking(true)?;
        Ok(Some(match peer.as_socket() {
            Some(peer) => Accepted::Tcp(TcpStream::from_std(stream.into())?, unmapped(peer)),
            None => Accepted::Unix(UnixStream::from_std(stream.into())?),
        }))
    }
}

/// A connection, with no delay and keep-alive probes set where it is TCP.
#[derive(Debug)]
pub enum Accepted {
    /// And who called.
    Tcp(TcpStream, SocketAddr),
    /// Callers on this machine have no address.
    Unix(UnixStream),
}

/// Of what came in over IPv4 through a socket for both families, addresses are IPv4's. Those of IPv6 keep their zone,
/// without which link-local ones lead nowhere (RFC 4007 6).
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// What a failed `accept` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptFault {
    /// That connection is gone, or a firewall refused it; the next may come at once.
    Transient,
    /// The process or the system has no more descriptors or memory: pause, or the loop spins.
    Exhausted,
    /// The socket is of no more use.
    Fatal,
}

impl AcceptFault {
    /// The class of an error of `accept` (accept(2), ERRORS; there Linux also passes on errors of the
    /// network that were waiting on the new connection, to be treated as if it had never been).
    pub fn of(error: &io::Error) -> Self {
        use rustix::io::Errno;
        let Some(code) = error.raw_os_error() else { return AcceptFault::Fatal };
        match Errno::from_raw_os_error(code) {
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => AcceptFault::Exhausted,
            Errno::CONNABORTED
            | Errno::INTR
            | Errno::AGAIN
            | Errno::PERM
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::TIMEDOUT
            | Errno::CONNRESET => AcceptFault::Transient,
            #[cfg(target_os = "linux")]
            Errno::HOSTDOWN | Errno::NONET => AcceptFault::Transient,
            _ => AcceptFault::Fatal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::socket::ListenSocket, *};
    use rustix::io::Errno;
    use weir_config::checked::Address;

    fn class(errno: Errno) -> AcceptFault {
        AcceptFault::of(&io::Error::from(errno))
    }

    #[test]
    fn errors_of_accept_fall_into_their_classes() {
        assert_eq!(class(Errno::CONNABORTED), AcceptFault::Transient);
        assert_eq!(class(Errno::PROTO), AcceptFault::Transient);
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(class(errno), AcceptFault::Exhausted);
        }
        assert_eq!(class(Errno::BADF), AcceptFault::Fatal);
        assert_eq!(class(Errno::INVAL), AcceptFault::Fatal);
        assert_eq!(AcceptFault::of(&io::Error::other("no code")), AcceptFault::Fatal);
    }

    #[tokio::test]
    async fn an_accepted_connection_has_no_delay_and_probes() {
        let bound = ListenSocket::bind(&Address::Tcp(([127, 0, 0, 1], 0).into()), 1).unwrap();
        let Address::Tcp(address) = bound.address().clone() else { panic!("not TCP") };
        let worker = bound.for_worker(0, 1).unwrap().remove(0);
        let caller = TcpStream::connect(address).await.unwrap();
        let Accepted::Tcp(stream, peer) = worker.accept().await.unwrap() else { panic!("not TCP") };
        assert_eq!(peer, caller.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), std::time::Duration::from_secs(60));
    }

    #[tokio::test]
    async fn what_waits_in_the_backlog_is_taken_and_then_nothing() {
        let bound = ListenSocket::bind(&Address::Tcp(([127, 0, 0, 1], 0).into()), 1).unwrap();
        let Address::Tcp(address) = bound.address().clone() else { panic!("not TCP") };
        let worker = bound.for_worker(0, 1).unwrap().remove(0);
        let callers = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        for caller in callers {
            let taken = worker.take_waiting().unwrap();
            let Some(Accepted::Tcp(stream, peer)) = taken else { panic!("{taken:?}") };
            assert_eq!(peer, caller.local_addr().unwrap());
            assert!(stream.nodelay().unwrap());
        }
        assert!(worker.take_waiting().unwrap().is_none());
    }

    #[tokio::test]
    async fn every_worker_of_an_address_gets_connections() {
        let bound = ListenSocket::bind(&Address::Tcp(([127, 0, 0, 1], 0).into()), 2).unwrap();
        let Address::Tcp(address) = bound.address().clone() else { panic!("not TCP") };
        let (first, second) =
            (bound.for_worker(0, 2).unwrap().remove(0), bound.for_worker(1, 2).unwrap().remove(0));
        let (mut callers, mut taken) = (Vec::new(), [0, 0]);
        // The kernel spreads by a hash of the addresses; that 200 callers all hash alike does not happen.
        for _ in 0..200 {
            callers.push(TcpStream::connect(address).await.unwrap());
            tokio::select! {
                accepted = first.accept() => { accepted.unwrap(); taken[0] += 1; }
                accepted = second.accept() => { accepted.unwrap(); taken[1] += 1; }
            }
        }
        assert_eq!(taken[0] + taken[1], 200);
        assert!(taken[0] > 0 && taken[1] > 0, "{taken:?}");
    }

    #[tokio::test]
    async fn workers_share_a_unix_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let bound = ListenSocket::bind(&Address::Unix(path.clone()), 2).unwrap();
        for worker in 0..2 {
            let socket = bound.for_worker(worker, 2).unwrap().remove(0);
            let _caller = UnixStream::connect(&path).await.unwrap();
            assert!(matches!(socket.accept().await.unwrap(), Accepted::Unix(_)));
        }
    }

    #[test]
    fn ipv4_callers_are_known_by_their_ipv4_address() {
        let mapped: SocketAddr = "[::ffff:192.0.2.7]:4711".parse().unwrap();
        assert_eq!(unmapped(mapped), "192.0.2.7:4711".parse().unwrap());
        let plain: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
        assert_eq!(unmapped(plain), plain);
        let link_local: SocketAddr = "[fe80::1%3]:1".parse().unwrap();
        assert_eq!(unmapped(link_local).to_string(), "[fe80::1%3]:1");
    }
}
