//! Relays between real sockets.

use std::cell::RefCell;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    time::timeout,
};

use super::*;
use crate::stream::Transport;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Pools {
    buffers: BufferPool,
    pipes: PipePool,
}

impl Pools {
    fn means(&self) -> Means<'_> {
        Means { buffers: &self.buffers, pipes: &self.pipes }
    }
}

async fn tcp_pair() -> (TcpStream, Io) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (caller, Io::new(Transport::Tcp(listener.accept().await.unwrap().0)))
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let ((mut caller, near), (mut endpoint, far)) = (tcp_pair().await, tcp_pair().await);
    let pools = Pools::default();
    let moved = RefCell::new((0, 0));
    let mut early = Buffer::default();
    early.push(b"early ");
    let relayed = relay(
        pools.means(),
        End { io: &near, read: early },
        End { io: &far, read: Buffer::default() },
        PATIENCE,
        |side, n| match side {
            Side::Near => moved.borrow_mut().0 += n,
            Side::Far => moved.borrow_mut().1 += n,
        },
    );
    let talk = async move {
        endpoint.write_all(b"banner").await.unwrap();
        let mut read = [0; 6];
        caller.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"banner");
        caller.write_all(b"question").await.unwrap();
        caller.shutdown().await.unwrap();
        let mut asked = String::new();
        endpoint.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "early question");
        let answer = vec![7; 1_000_000];
        let answering = async {
            endpoint.write_all(&answer).await.unwrap();
            drop(endpoint);
        };
        let mut all = Vec::new();
        let (read, ()) = tokio::join!(caller.read_to_end(&mut all), answering);
        read.unwrap();
        all
    };
    let (rest, relayed) = timeout(PATIENCE, async { tokio::join!(talk, relayed) }).await.unwrap();
    assert!(matches!(relayed, Relayed::Whole), "{relayed:?}");
    assert_eq!(rest.len(), 1_000_000);
    assert_eq!(*moved.borrow(), (14, 1_000_006));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_and_movement_puts_that_off() {
    let (mut caller, near) = UnixStream::pair().unwrap();
    let (_endpoint, far) = UnixStream::pair().unwrap();
    let (near, far) = (Io::new(Transport::Unix(near)), Io::new(Transport::Unix(far)));
    let pools = Pools::default();
    let begun = Instant::now();
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(pools.means(), ends(&near), ends(&far), Duration::from_secs(60), |_, _| ());
    let talk = async {
        tokio::time::sleep(Duration::from_secs(50)).await;
        caller.write_all(b"x").await.unwrap();
        std::future::pending::<()>().await;
    };
    let relayed = tokio::select! { relayed = relayed => relayed, () = talk => unreachable!() };
    assert!(matches!(relayed, Relayed::Idle), "{relayed:?}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(110), "{took:?}");
}

#[tokio::test]
async fn a_reset_tells_whose_it_was() {
    let ((caller, near), (_endpoint, far)) = (tcp_pair().await, tcp_pair().await);
    caller.set_zero_linger().unwrap();
    drop(caller);
    let pools = Pools::default();
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(pools.means(), ends(&near), ends(&far), PATIENCE, |_, _| ());
    let relayed = timeout(PATIENCE, relayed).await.unwrap();
    assert!(matches!(relayed, Relayed::Failed(Side::Near, _)), "{relayed:?}");
}

/// A reader that does not read: what a relay takes in stops at what it holds and the kernel buffers.
#[tokio::test]
async fn a_slow_reader_slows_its_sender() {
    let ((mut caller, near), (endpoint, far)) = (tcp_pair().await, tcp_pair().await);
    let pools = Pools::default();
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(pools.means(), ends(&near), ends(&far), PATIENCE, |_, _| ());
    let flood = async {
        let mut sent = 0;
        let chunk = [0; 64 * 1024];
        while let Ok(n) = timeout(Duration::from_millis(300), caller.write(&chunk)).await {
            sent += n.unwrap();
        }
        sent
    };
    let sent = tokio::select! { _ = relayed => unreachable!(), sent = flood => sent };
    assert!(sent < 64 << 20, "{sent}");
    assert!(pools.pipes.is_whole(), "what a relay held is given back with it");
    drop(endpoint);
}

/// Bytes that tell where they stand.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let word = |at: u64| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..length as u64).step_by(8).flat_map(word).take(length).collect()
}

/// Sends so many bytes in pieces of this size and ends, while reading to the end.
async fn exchange(stream: TcpStream, sent: Vec<u8>, piece: usize) -> Vec<u8> {
    let (mut read, mut write) = stream.into_split();
    let send = async move {
        for piece in sent.chunks(piece) {
            write.write_all(piece).await.unwrap();
        }
        write.shutdown().await.unwrap();
        write
    };
    let mut received = Vec::new();
    let (write, n) = tokio::join!(send, read.read_to_end(&mut received));
    assert_eq!(n.unwrap(), received.len());
    drop(write);
    received
}

/// Both directions at once, whole; the pieces of both sides, and whether there are pipes to be had.
async fn carries(pieces: [usize; 2], length: usize, pipes: bool) -> (usize, usize) {
    let ((caller, near), (endpoint, far)) = (tcp_pair().await, tcp_pair().await);
    let pools = Pools::default();
    if !pipes {
        pools.pipes.exhaust();
    }
    let moved = RefCell::new((0, 0));
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(pools.means(), ends(&near), ends(&far), PATIENCE, |side, n| match side {
        Side::Near => moved.borrow_mut().0 += n,
        Side::Far => moved.borrow_mut().1 += n,
    });
    let [up, down] = [1, 2].map(|seed| pattern(seed, length + seed as usize));
    let talk = async {
        tokio::join!(exchange(caller, up.clone(), pieces[0]), exchange(endpoint, down.clone(), pieces[1]))
    };
    let (relayed, (at_caller, at_endpoint)) =
        timeout(PATIENCE * 3, async { tokio::join!(relayed, talk) }).await.unwrap();
    assert!(matches!(relayed, Relayed::Whole), "{relayed:?}");
    assert!(at_endpoint == up && at_caller == down, "{pieces:?}: not the same bytes");
    assert_eq!(*moved.borrow(), (up.len(), down.len()));
    (pools.pipes.idle(), usize::from(pipes && !pools.pipes.is_whole()))
}

#[tokio::test]
async fn large_transfers_arrive_whole_in_both_directions_at_once() {
    for pieces in [[1 << 20, 1 << 20], [100_003, 5_000], [70_000, 1 << 20]] {
        let (used, lost) = carries(pieces, 24 << 20, true).await;
        assert!(used > 0, "{pieces:?}: nothing was spliced");
        assert_eq!(lost, 0);
    }
}

#[tokio::test]
async fn without_a_pipe_bytes_are_copied() {
    let (used, _) = carries([1 << 20, 1 << 20], 24 << 20, false).await;
    assert_eq!(used, 0);
}

#[tokio::test]
async fn small_messages_need_no_pipe() {
    let ((mut caller, near), (mut endpoint, far)) = (tcp_pair().await, tcp_pair().await);
    let pools = Pools::default();
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(pools.means(), ends(&near), ends(&far), PATIENCE, |_, _| ());
    let talk = async {
        let mut message = [7; 4_000];
        for _ in 0..200 {
            caller.write_all(&message).await.unwrap();
            endpoint.read_exact(&mut message).await.unwrap();
            endpoint.write_all(&message).await.unwrap();
            caller.read_exact(&mut message).await.unwrap();
        }
    };
    timeout(PATIENCE, async {
        tokio::select! { _ = relayed => unreachable!(), () = talk => {} }
    })
    .await
    .unwrap();
    assert_eq!(pools.pipes.idle(), 0);
}
