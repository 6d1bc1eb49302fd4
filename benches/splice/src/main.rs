//! A relay of nothing but `splice` (splice(2)): what it costs at least to pass the bytes of one connection on to
//! another. One thread, one `epoll`, a pipe for each direction; no limits, no timeouts, no counting.
//!
//! `weir-splice ORIGIN` prints its address, and relays to ORIGIN until it is killed.

use std::{
    env,
    error::Error,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, pipe_with, splice},
};

const LISTENER: u64 = u64::MAX;
/// Bytes to ask for at a time; a pipe holds fewer.
const MOST: usize = 1 << 20;
/// Less than this is taken to be all there was: `epoll` is level-triggered, and tells if it was not.
const SMALL: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let origin: SocketAddr = env::args().nth(1).ok_or("usage: weir-splice ORIGIN")?.parse()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        for event in &events {
            let (data, flags) = (event.data, event.flags);
            if data.u64() == LISTENER {
                accept(&listener, origin, &epoll, &mut pairs)?;
                continue;
            }
            let (number, far) = ((data.u64() / 2) as usize, data.u64() % 2 == 1);
            let slot = &mut pairs[number];
            let Some(pair) = slot else { continue };
            // Both connections close when it is dropped.
            if pair.go(far, flags).and_then(|()| pair.wish(&epoll, number)).is_err() || pair.over() {
                *slot = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    origin: SocketAddr,
    epoll: &OwnedFd,
    pairs: &mut Vec<Option<Pair>>,
) -> io::Result<()> {
    let (near, _) = listener.accept()?;
    let far = TcpStream::connect(origin)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
    }
    let free = pairs.iter().position(Option::is_none).unwrap_or(pairs.len());
    if free == pairs.len() {
        pairs.push(None);
    }
    for (side, stream) in [&near, &far].into_iter().enumerate() {
        epoll::add(epoll, stream, token(free, side), EventFlags::IN)?;
    }
    let wished = [EventFlags::IN; 2];
    pairs[free] = Some(Pair { streams: [near, far], ways: [Way::new()?, Way::new()?], wished });
    Ok(())
}

fn token(pair: usize, side: usize) -> EventData {
    EventData::new_u64((pair * 2 + side) as u64)
}

/// Two connections, and the ways between them.
struct Pair {
    /// Near, far.
    streams: [TcpStream; 2],
    /// From near to far, from far to near.
    ways: [Way; 2],
    /// What `epoll` was asked to tell of each connection.
    wished: [EventFlags; 2],
}

impl Pair {
    /// Goes on where this happened.
    fn go(&mut self, far: bool, flags: EventFlags) -> io::Result<()> {
        let side = usize::from(far);
        let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        for (from, wanted) in [(side, EventFlags::IN), (1 - side, EventFlags::OUT)] {
            if failed || flags.contains(wanted) {
                self.ways[from].go(&self.streams[from], &self.streams[1 - from])?;
            }
        }
        Ok(())
    }

    /// Asks to be told what is waited for now, if that is something else than before.
    fn wish(&mut self, epoll: &OwnedFd, number: usize) -> io::Result<()> {
        for side in 0..2 {
            let (out, back) = (&self.ways[side], &self.ways[1 - side]);
            let mut wish = EventFlags::empty();
            wish.set(EventFlags::IN, !out.ended && out.held == 0);
            wish.set(EventFlags::OUT, back.held > 0);
            if wish != self.wished[side] {
                epoll::modify(epoll, &self.streams[side], token(number, side), wish)?;
                self.wished[side] = wish;
            }
        }
        Ok(())
    }

    fn over(&self) -> bool {
        self.ways.iter().all(|way| way.ended && way.held == 0)
    }
}

/// One way through: what was taken from one connection lies in a pipe until the other takes it.
struct Way {
    /// Its end to read from, its end to write to.
    pipe: (OwnedFd, OwnedFd),
    /// Bytes in the pipe.
    held: usize,
    /// Nothing more comes, and the other side was told.
    ended: bool,
}

impl Way {
    fn new() -> io::Result<Self> {
        Ok(Self { pipe: pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?, held: 0, ended: false })
    }

    fn go(&mut self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        loop {
            if !self.deliver(to)? || self.ended {
                return Ok(());
            }
            self.held = match moved(splice(from, None, &self.pipe.1, None, MOST, FLAGS))? {
                None => return Ok(()),
                Some(0) => {
                    self.ended = true;
                    // Fails only if the other side is gone altogether.
                    return to.shutdown(Shutdown::Write);
                }
                Some(length) => length,
            };
            if self.held < SMALL {
                return self.deliver(to).map(drop);
            }
        }
    }

    /// Whether everything is delivered.
    fn deliver(&mut self, to: &TcpStream) -> io::Result<bool> {
        while self.held > 0 {
            match moved(splice(&self.pipe.0, None, to, None, self.held, FLAGS))? {
                None => return Ok(false),
                Some(length) => self.held -= length,
            }
        }
        Ok(true)
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// How much was moved; none: there is nothing, or no room, for now.
fn moved(result: rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
