//! Circles: a connection of the proxy's own that the rules lead back to it, which would be passed on, led back and
//! passed on again. The rules let the proxy's user alone; this is for when they name another one.
//!
//! A captured connection is the proxy's own if the proxy has made one from the same address to the same destination
//! lately, and still has it open: as long as it does, nobody else on this machine can have another such one, and
//! afterwards the system soon gives that port to others. Nothing is remembered as long as nothing is captured.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

/// How long a connection that was made may take to be led back, and how many are remembered: each several times what
/// can wait in the backlog of a listener.
const LATELY: Duration = Duration::from_secs(60);
const MOST: usize = 16 * 1024;

/// Something was captured, so that circles are possible. An own connection that was made before goes round once more
/// before it is known for one.
static WATCHED: AtomicBool = AtomicBool::new(false);

static MADE: Mutex<Made> = Mutex::new(Made { pairs: BTreeMap::new(), order: VecDeque::new() });

/// From where, and to where.
type Pair = (SocketAddr, SocketAddr);

/// A socket of ours.
#[derive(Clone, Copy)]
struct Own {
    since: Instant,
    /// Its place in the table of descriptors, where another one may follow it.
    place: RawFd,
    /// What tells it from those.
    inode: u64,
}

struct Made {
    pairs: BTreeMap<Pair, Own>,
    /// The oldest first.
    order: VecDeque<(Instant, Pair)>,
}

/// Connects, and remembers it if circles are possible.
pub async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    if !WATCHED.load(Relaxed) {
        return TcpStream::connect(to).await;
    }
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    begin(&socket, to)?;
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        None => Ok(stream),
        Some(error) => Err(error),
    }
}

/// Whether a captured connection is one of the proxy's own.
pub fn is_closed_by(peer: SocketAddr, destination: SocketAddr) -> bool {
    if !WATCHED.load(Relaxed) {
        WATCHED.store(true, Relaxed);
    }
    let pair = (canonical(peer), canonical(destination));
    let own = MADE.lock().unwrap_or_else(PoisonError::into_inner).pairs.get(&pair).copied();
    own.is_some_and(Own::is_open)
}

/// Begins to connect. The lock is held meanwhile: the connection may be accepted before this is over, and whoever asks
/// whose it is has to wait for the answer.
fn begin(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    if let Some(from) = socket.local_addr()?.as_socket() {
        let (since, place, inode) = (Instant::now(), socket.as_raw_fd(), rustix::fs::fstat(socket)?.st_ino);
        made.note((canonical(from), canonical(to)), Own { since, place, inode });
    }
    Ok(())
}

impl Own {
    fn is_open(self) -> bool {
        const TABLE: &str = "/proc/self/fd";
        match std::fs::read_link(Path::new(TABLE).join(self.place.to_string())) {
            Ok(link) => link.as_os_str() == format!("socket:[{}]", self.inode).as_str(),
            // Nothing is there any more; or nobody can tell, and it is better to refuse one too many.
            Err(_) => !Path::new(TABLE).exists(),
        }
    }
}

impl Made {
    fn note(&mut self, pair: Pair, own: Own) {
        while let Some((when, oldest)) = self.order.front().copied() {
            if self.order.len() < MOST && own.since.saturating_duration_since(when) < LATELY {
                break;
            }
            self.order.pop_front();
            // The same port may have been used again.
            if self.pairs.get(&oldest).is_some_and(|known| known.since == when) {
                self.pairs.remove(&oldest);
            }
        }
        self.pairs.insert(pair, own);
        self.order.push_back((own.since, pair));
    }
}

/// IPv4 addresses are written in two ways, and which one depends on the socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn pair(port: u16) -> Pair {
        (SocketAddr::from(([10, 0, 0, 1], port)), SocketAddr::from(([10, 0, 0, 2], 80)))
    }

    fn own(since: Instant) -> Own {
        Own { since, place: 0, inode: 0 }
    }

    #[tokio::test]
    async fn own_connections_are_known_by_the_time_they_are_accepted() {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 80));
        assert!(!is_closed_by(elsewhere, elsewhere), "from now on it is watched");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let ours = connect(to).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert!(is_closed_by(peer, to));
        assert!(!is_closed_by(peer, elsewhere));
        drop(ours);
        assert!(!is_closed_by(peer, to), "others may have the port now");
        let _others = TcpStream::connect(to).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert!(!is_closed_by(peer, to));
    }

    #[tokio::test]
    async fn what_cannot_be_connected_to_fails_as_ever() {
        is_closed_by(pair(1).0, pair(1).1);
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(connect(gone).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn no_more_is_remembered_than_may_be_and_no_longer() {
        let mut made = Made { pairs: BTreeMap::new(), order: VecDeque::new() };
        let begun = Instant::now();
        for port in 0..=MOST as u16 {
            made.note(pair(port), own(begun));
        }
        assert_eq!((made.pairs.len(), made.order.len()), (MOST, MOST));
        assert!(!made.pairs.contains_key(&pair(0)));
        made.note(pair(1), own(begun + LATELY / 2));
        made.note(pair(60_000), own(begun + LATELY));
        let left: Vec<_> = made.pairs.keys().copied().collect();
        assert_eq!(left, [pair(1), pair(60_000)]);
    }
}
