//! Unix sockets: who may connect, and the file that stands for the socket, which others may have left or replaced.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use socket2::{Domain, SockAddr, Socket, Type};
use weir_config::checked::Address;

use super::{BACKLOG, ListenSocket};

/// Who may connect to a Unix socket: its owner and its group.
const UNIX_MODE: u32 = 0o660;

pub(super) fn bind(path: &Path) -> io::Result<ListenSocket> {
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
    let (address, handed_over) = (Address::Unix(path.into()), AtomicBool::new(false));
    Ok(ListenSocket { address, sockets: vec![socket], file: Some(file), handed_over })
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
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.into(), device: found.dev(), inode: found.ino() })
    }

    pub(super) fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
