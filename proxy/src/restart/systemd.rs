//! The service manager: sockets that it holds (sd_listen_fds(3)), and what it is told (sd_notify(3)).

use std::{env, io, os::fd::OwnedFd, os::linux::net::SocketAddrExt, os::unix::net};

use listenfd::ListenFd;

use super::Inherited;

/// The sockets that were handed to this process, each with its name.
pub(super) fn sockets() -> io::Result<Vec<Inherited>> {
    // Without a process id they may be anybody's: the protocol demands it.
    if env::var_os("LISTEN_PID").is_none_or(|id| id.is_empty()) {
        return Ok(Vec::new());
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(handed.len());
    for at in 0..handed.len() {
        let name = names.next().filter(|name| !name.is_empty() && *name != "unknown");
        let tcp = handed.take_tcp_listener(at).map(|socket| socket.map(OwnedFd::from));
        let socket =
            tcp.or_else(|_| handed.take_unix_listener(at).map(|socket| socket.map(OwnedFd::from)))?;
        sockets.extend(socket.map(|socket| Inherited {
            listener: name.map(str::to_owned),
            configured: None,
            socket,
        }));
    }
    Ok(sockets)
}

/// What the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Traffic is taken.
    Ready,
    /// The process drains.
    Stopping,
}

/// The service manager, if there is one that wants to be told.
#[derive(Debug, Default)]
pub struct Manager(Option<(net::UnixDatagram, net::SocketAddr)>);

impl Manager {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Self(None);
        };
        let path = path.as_encoded_bytes();
        let address = match path.strip_prefix(b"@") {
            Some(name) => net::SocketAddr::from_abstract_name(name),
            None => net::SocketAddr::from_pathname(String::from_utf8_lossy(path).as_ref()),
        };
        let opened = address.and_then(|address| Ok((net::UnixDatagram::unbound()?, address)));
        Self(opened.inspect_err(|error| tracing::warn!(%error, "the service manager is not told")).ok())
    }

    /// Tells it. It is told nothing that anybody depends on being heard.
    pub fn tell(&self, state: State) {
        let Some((socket, address)) = &self.0 else { return };
        let text = match state {
            State::Ready => format!("READY=1\nMAINPID={}", std::process::id()),
            State::Stopping => "STOPPING=1".to_owned(),
        };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            tracing::debug!(%error, "the service manager did not hear");
        }
    }
}
