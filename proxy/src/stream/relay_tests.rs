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

async fn tcp_pair() -> (TcpStream, Io) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (caller, Io::new(Transport::Tcp(listener.accept().await.unwrap().0)))
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let ((mut caller, near), (mut endpoint, far)) = (tcp_pair().await, tcp_pair().await);
    let pools = BufferPool::default();
    let moved = RefCell::new((0, 0));
    let mut early = Buffer::default();
    early.push(b"early ");
    let relayed = relay(
        &pools,
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
    let pools = BufferPool::default();
    let begun = Instant::now();
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(&pools, ends(&near), ends(&far), Duration::from_secs(60), |_, _| ());
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
    let pools = BufferPool::default();
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(&pools, ends(&near), ends(&far), PATIENCE, |_, _| ());
    let relayed = timeout(PATIENCE, relayed).await.unwrap();
    assert!(matches!(relayed, Relayed::Failed(Side::Near, _)), "{relayed:?}");
}

/// A reader that does not read: what a relay takes in stops at what it holds and the kernel buffers.
#[tokio::test]
async fn a_slow_reader_slows_its_sender() {
    let ((mut caller, near), (endpoint, far)) = (tcp_pair().await, tcp_pair().await);
    let pools = BufferPool::default();
    let ends = |io| End { io, read: Buffer::default() };
    let relayed = relay(&pools, ends(&near), ends(&far), PATIENCE, |_, _| ());
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
    drop(endpoint);
}
