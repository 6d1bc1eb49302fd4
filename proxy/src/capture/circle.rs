//! Circles: a connection of the proxy's own that the rules lead back to it, which would be passed on, led back and
//! passed on again. The rules let the proxy's user alone; this is for when they name another one.
//!
//! A captured connection is the proxy's own if the proxy has made one from the same address to the same destination
//! lately. Nothing is remembered as long as nothing is captured.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
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

/// Something was captured, so that circles are possible. What is not its own of the first connection is at the latest
/// seen at the second.
static WATCHED: AtomicBool = AtomicBool::new(false);

static MADE: Mutex<Made> = Mutex::new(Made { pairs: BTreeMap::new(), order: VecDeque::new() });

/// From where, and to where.
type Pair = (SocketAddr, SocketAddr);

struct Made {
    pairs: BTreeMap<Pair, Instant>,
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
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.pairs.contains_key(&(canonical(peer), canonical(destination)))
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
        made.note((canonical(from), canonical(to)), Instant::now());
    }
    Ok(())
}

impl Made {
    fn note(&mut self, pair: Pair, now: Instant) {
        while let Some((when, oldest)) = self.order.front().copied() {
            if self.order.len() < MOST && now.saturating_duration_since(when) < LATELY {
                break;
            }
            self.order.pop_front();
            // The same port may have been used again.
            if self.pairs.get(&oldest) == Some(&when) {
                self.pairs.remove(&oldest);
            }
        }
        self.pairs.insert(pair, now);
        self.order.push_back((now, pair));
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

    #[tokio::test]
    async fn own_connections_are_known_by_the_time_they_are_accepted() {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 80));
        assert!(!is_closed_by(elsewhere, elsewhere), "from now on it is watched");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let _ours = connect(to).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert!(is_closed_by(peer, to));
        assert!(!is_closed_by(peer, elsewhere));
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
            made.note(pair(port), begun);
        }
        assert_eq!((made.pairs.len(), made.order.len()), (MOST, MOST));
        assert!(!made.pairs.contains_key(&pair(0)));
        made.note(pair(1), begun + LATELY / 2);
        made.note(pair(60_000), begun + LATELY);
        let left: Vec<_> = made.pairs.keys().copied().collect();
        assert_eq!(left, [pair(1), pair(60_000)]);
    }
}
