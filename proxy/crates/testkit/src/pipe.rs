//! A TCP relay with faults: delay, narrowness, stalls, cuts, resets, changed while it runs.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    net::TcpStream,
    sync::watch,
};

use crate::{
    Stream,
    tasks::{Owned, listen},
};

/// What is wrong with the pipe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Each piece is held for this long, either way.
    pub delay: Duration,
    /// Each way.
    pub bytes_per_second: Option<u32>,
    /// Nothing moves, connections stay open; new ones are accepted and carry nothing.
    pub stalled: bool,
    /// New connections are reset as soon as they are accepted.
    pub refusing: bool,
}

/// What is done once to every connection there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Cut,
    Reset,
}

/// The relay. It and its connections end when this is dropped.
#[derive(Debug)]
pub struct FaultyPipe {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    ends: watch::Sender<(u64, End)>,
    connections: Arc<AtomicUsize>,
    _task: Owned,
}

impl FaultyPipe {
    /// Relays to `target`, faultless at first.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let (faults, shown_faults) = watch::channel(Faults::default());
        let (ends, shown_ends) = watch::channel((0, End::Cut));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let (address, task) = listen(move |_, stream| {
            count.fetch_add(1, Relaxed);
            let mut ends = shown_ends.clone();
            ends.mark_unchanged();
            relay(stream, target, shown_faults.clone(), ends)
        })
        .await?;
        Ok(Self { address, faults, ends, connections, _task: task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// From now on it has these faults.
    pub fn set(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// Closes every connection there is, on both sides, in the middle of whatever it carries.
    pub fn cut(&self) {
        self.ends.send_modify(|(count, end)| (*count, *end) = (*count + 1, End::Cut));
    }

    /// Resets every connection there is, on both sides.
    pub fn reset(&self) {
        self.ends.send_modify(|(count, end)| (*count, *end) = (*count + 1, End::Reset));
    }
}

async fn relay(
    near: TcpStream,
    target: SocketAddr,
    faults: watch::Receiver<Faults>,
    mut ends: watch::Receiver<(u64, End)>,
) {
    let near = Stream::Tcp(near);
    if faults.borrow().refusing {
        return near.reset();
    }
    // An unreachable target looks like a peer that leaves at once.
    let Ok(far) = Stream::connect(target).await else { return near.reset() };
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let (mut up, mut down) = (Way::new(near_read, far_write), Way::new(far_read, near_write));
    let ended = tokio::select! {
        _ = async { tokio::join!(up.carry(faults.clone()), down.carry(faults.clone())) } => None,
        changed = ends.changed() => changed.is_ok().then(|| ends.borrow().1),
    };
    if ended == Some(End::Reset) {
        up.read.unsplit(down.write).reset();
        down.read.unsplit(up.write).reset();
    }
}

/// One direction.
struct Way {
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
}

impl Way {
    fn new(read: ReadHalf<Stream>, write: WriteHalf<Stream>) -> Self {
        Self { read, write }
    }

    /// Until the reading side ends, which ends the writing side.
    async fn carry(&mut self, mut faults: watch::Receiver<Faults>) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let narrow = faults.borrow().bytes_per_second;
            // Twenty pieces a second.
            let most = narrow.map_or(buffer.len(), |rate| (rate as usize / 20).clamp(1, buffer.len()));
            let read = self.read.read(&mut buffer[..most]).await?;
            if faults.wait_for(|faults| !faults.stalled).await.is_err() {
                return Ok(());
            }
            let Faults { delay, bytes_per_second, .. } = faults.borrow().clone();
            let narrowness = bytes_per_second.map_or(0.0, |rate| read as f64 / f64::from(rate.max(1)));
            let wait = delay + Duration::from_secs_f64(narrowness);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if read == 0 {
                return self.write.shutdown().await;
            }
            self.write.write_all(&buffer[..read]).await?;
        }
    }
}
