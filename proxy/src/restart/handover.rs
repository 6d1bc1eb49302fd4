//! Handing over: how two processes pass sockets, and what they tell each other meanwhile.
//!
//! ```text
//! new -> old   (connects)
//! old -> new   {"socket": {"listener": "web", "configured": "0.0.0.0:443"}}  + descriptors, for each listener
//! old -> new   {"admin": true}  + descriptor
//! old -> new   {"complete": true}
//! new -> old   {"ready": true}        it accepts; until here nothing has changed
//! old -> new   {"draining": true}
//! ```
//!
//! Each message is one packet of a `SOCK_SEQPACKET` socket. Whoever breaks off, in whatever way, has asked for nothing.
//! Only the same user, or root, may ask: whoever has the sockets has the traffic.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Inheritance, Inherited};

/// Descriptors in one message; Linux allows 253.
const DESCRIPTORS: usize = 64;
/// Bytes of the longest message.
const MESSAGE: usize = 4_096;
/// How long one message may take; being ready may take longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a successor may take to be ready: it compiles filters and waits for names.
const READY: Duration = Duration::from_secs(300);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    Socket { listener: String, configured: String },
    Admin(bool),
    Complete(bool),
    Ready(bool),
    Draining(bool),
    Refused(String),
}

/// A socket to hand over.
#[derive(Debug)]
pub struct Offer {
    /// The listener's name.
    pub listener: String,
    /// Its address, as it is configured.
    pub configured: String,
    /// All its sockets.
    pub sockets: Vec<OwnedFd>,
}

/// All that a process hands over.
#[derive(Debug)]
pub struct Estate {
    /// Of its listeners.
    pub offers: Vec<Offer>,
    /// Of its admin API.
    pub admin: Option<OwnedFd>,
}

/// The process that was there before, still at work.
#[derive(Debug)]
pub struct Predecessor(Socket);

impl Predecessor {
    /// Asks the process at this path for its sockets. None: there is none.
    pub(super) fn find(path: &Path) -> io::Result<Option<Inheritance>> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        match socket.connect(&SockAddr::unix(path)?) {
            Ok(()) => {}
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut inheritance = Inheritance::default();
        loop {
            let (message, descriptors) = receive(&socket)?;
            match message {
                Message::Socket { listener, configured } => {
                    inheritance.sockets.extend(descriptors.into_iter().map(|socket| Inherited {
                        listener: Some(listener.clone()),
                        configured: Some(configured.clone()),
                        socket,
                    }));
                }
                Message::Admin(_) => inheritance.admin = descriptors.into_iter().next(),
                Message::Complete(_) => break,
                Message::Refused(reason) => return Err(io::Error::other(reason)),
                // It ends already, and lets go of its addresses by itself.
                Message::Draining(_) => return Ok(None),
                Message::Ready(_) => return Err(unexpected()),
            }
        }
        inheritance.predecessor = Some(Predecessor(socket));
        Ok(Some(inheritance))
    }

    /// Tells it that this process serves, and waits until it drains.
    pub fn relieve(self) -> io::Result<()> {
        send(&self.0, &Message::Ready(true), &[])?;
        match receive(&self.0)?.0 {
            Message::Draining(_) => Ok(()),
            Message::Refused(reason) => Err(io::Error::other(reason)),
            _ => Err(unexpected()),
        }
    }
}

/// Where successors ask. Its file goes with it, unless a successor has put its own in the place.
#[derive(Debug)]
pub struct Stage {
    socket: Socket,
    path: PathBuf,
    identity: (u64, u64),
    /// A successor serves: the path is its own to take, at a moment that nobody here knows.
    left: AtomicBool,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Stage {
    /// Listens beside the path. Nobody else's processes may connect.
    pub fn prepare(path: &Path) -> io::Result<Self> {
        let draft = draft(path);
        let _ = fs::remove_file(&draft);
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.bind(&SockAddr::unix(&draft)?)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
        socket.listen(1)?;
        Ok(Self { socket, path: path.to_owned(), identity: identity(&draft)?, left: AtomicBool::new(false) })
    }

    /// Takes the path, in the place of whoever had it: there is no moment at which nobody listens.
    pub fn publish(&self) -> io::Result<()> {
        fs::rename(draft(&self.path), &self.path)
    }

    /// Lets go of the path: this process ends, and has nothing to hand over. After it has handed over it leaves the
    /// file alone, for between a look at whose it is and its removal the successor's may have come.
    pub fn leave(&self) {
        if self.left.load(Ordering::Acquire) {
            return;
        }
        for path in [&self.path, &draft(&self.path)] {
            if identity(path).is_ok_and(|now| now == self.identity) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Waits until a successor has taken over what `offer` says, and serves. None: this process drains already. Called
    /// by a thread that may wait for ever.
    pub fn wait(
        &self,
        offer: impl Fn() -> io::Result<Option<Estate>>,
        relieved: impl FnOnce(),
    ) -> io::Result<()> {
        loop {
            let (successor, _) = self.socket.accept()?;
            match serve(&successor, &offer) {
                Ok(()) => {
                    self.left.store(true, Ordering::Release);
                    relieved();
                    // It serves whether or not it hears this.
                    let _ = send(&successor, &Message::Draining(true), &[]);
                    return Ok(());
                }
                Err(error) => tracing::warn!(%error, "a successor did not take over; this process goes on"),
            }
        }
    }
}

fn serve(successor: &Socket, offer: impl Fn() -> io::Result<Option<Estate>>) -> io::Result<()> {
    successor.set_read_timeout(Some(READY))?;
    successor.set_write_timeout(Some(PATIENCE))?;
    let (caller, me) = (socket_peercred(successor)?.uid, rustix::process::geteuid());
    if caller != me && !caller.is_root() {
        send(successor, &Message::Refused("another user's process".to_owned()), &[])?;
        return Err(io::Error::other("another user's process asked"));
    }
    tracing::info!("a successor asks for the sockets");
    let Some(Estate { offers, admin }) = offer()? else {
        send(successor, &Message::Draining(true), &[])?;
        return Err(io::Error::other("there is nothing to hand over while this process drains"));
    };
    for Offer { listener, configured, sockets } in &offers {
        for some in sockets.chunks(DESCRIPTORS) {
            let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
            let (listener, configured) = (listener.clone(), configured.clone());
            send(successor, &Message::Socket { listener, configured }, &some)?;
        }
    }
    if let Some(admin) = &admin {
        send(successor, &Message::Admin(true), &[admin.as_fd()])?;
    }
    send(successor, &Message::Complete(true), &[])?;
    match receive(successor)?.0 {
        Message::Ready(_) => Ok(()),
        _ => Err(unexpected()),
    }
}

fn send(socket: &Socket, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: &Socket) -> io::Result<(Message, Vec<OwnedFd>)> {
    let mut bytes = [0; MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    Ok((serde_json::from_slice(&bytes[..received.bytes])?, descriptors))
}

fn draft(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", std::process::id()))
}

fn unexpected() -> io::Error {
    io::Error::other("the other process says what does not belong here")
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{TcpListener, TcpStream},
        sync::atomic::Ordering::Relaxed,
    };

    fn offer(listener: &TcpListener, count: usize) -> Vec<Offer> {
        let sockets = (0..count).map(|_| listener.try_clone().unwrap().into()).collect();
        vec![Offer { listener: "web".into(), configured: "127.0.0.1:0".into(), sockets }]
    }

    #[test]
    fn sockets_go_over_and_nothing_changes_before_the_successor_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("restart.sock");
        assert!(Predecessor::find(&path).unwrap().is_none(), "nobody is there");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stage = Stage::prepare(&path).unwrap();
        assert!(!path.exists());
        stage.publish().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let relieved = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let old = scope.spawn(|| {
                let estate = || {
                    let admin = Some(listener.try_clone()?.into());
                    Ok(Some(Estate { offers: offer(&listener, 150), admin }))
                };
                stage.wait(estate, || relieved.store(true, Relaxed))
            });
            // One that gives up leaves everything as it was.
            drop(Predecessor::find(&path).unwrap().unwrap());
            let taken = Predecessor::find(&path).unwrap().unwrap();
            assert!(!relieved.load(Relaxed));
            assert_eq!((taken.sockets.len(), taken.admin.is_some()), (150, true));
            let first = taken.sockets.into_iter().next().unwrap();
            assert_eq!(first.configured.as_deref(), Some("127.0.0.1:0"));
            let socket = TcpListener::from(first.socket);
            assert_eq!(socket.local_addr().unwrap(), listener.local_addr().unwrap());
            taken.predecessor.unwrap().relieve().unwrap();
            assert!(relieved.load(Relaxed));
            old.join().unwrap().unwrap();
            stage.leave();
            assert!(path.exists(), "what happens to the path is now the successor's");
            let _caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            socket.accept().unwrap();
        });
    }

    #[test]
    fn a_successors_file_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("restart.sock");
        let first = Stage::prepare(&path).unwrap();
        first.publish().unwrap();
        let second = Stage::prepare(&path).unwrap();
        second.publish().unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
