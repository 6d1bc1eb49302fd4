//! The sockets of a process over reloads: an address that stays in the configuration keeps its socket, and
//! with it the connections that wait in its backlog.

use super::socket::{BindError, ListenSocket};
use socket2::SockRef;
use std::{
    collections::HashMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use weir_config::checked::Address;

/// A socket that listens already, before this process has bound any.
#[derive(Debug)]
pub struct Inherited {
    /// The listener that it was or is meant for; several sockets may be for one.
    pub listener: Option<String>,
    /// Its address as it was configured for that listener; none: only where it is bound is known.
    pub configured: Option<String>,
    /// The socket.
    pub socket: OwnedFd,
}

impl Inherited {
    /// Whether a listener of this name and address is to have it. What a process before this one listened on is
    /// known by the address, unless the system chose that; what the service manager holds by either.
    fn is_for(&self, listener: &str, address: &Address) -> bool {
        let named = self.listener.as_deref() == Some(listener);
        match &self.configured {
            Some(configured) => {
                *configured == address.to_string() && (named || !is_chosen_by_system(address))
            }
            None => named || self.is_bound_to(address),
        }
    }

    fn is_bound_to(&self, address: &Address) -> bool {
        let Ok(local) = SockRef::from(&self.socket).local_addr() else { return false };
        match address {
            Address::Tcp(tcp) => local.as_socket() == Some(*tcp),
            Address::Unix(path) => local.as_pathname() == Some(path),
            Address::Name { .. } | Address::Srv { .. } => false,
        }
    }
}

/// The bound addresses of a process. Each is held by the snapshots that listen on it and closed with the
/// last of them.
#[derive(Debug)]
pub struct Sockets {
    workers: usize,
    inherited: Mutex<Vec<Inherited>>,
    bound: Mutex<HashMap<Key, Weak<ListenSocket>>>,
}

/// Two listeners may both ask for a port of the system's choice; their names tell them apart.
type Key = (Address, Option<Arc<str>>);

impl Sockets {
    /// None bound yet but what is inherited, each to be shared by this many workers.
    pub fn new(workers: usize, inherited: Vec<Inherited>) -> Self {
        Sockets { workers, inherited: Mutex::new(inherited), bound: Mutex::default() }
    }

    /// Whether there is a socket for this listener already.
    pub fn inherits(&self, listener: &str, address: &Address) -> bool {
        self.inherited().iter().any(|one| one.is_for(listener, address))
    }

    /// Closes what was inherited and is of no use to any listener.
    pub fn discard_the_rest(&self) {
        for one in self.inherited().drain(..) {
            tracing::warn!(
                listener = one.listener,
                address = one.configured,
                "a socket that was handed over is in no listener's configuration; it is closed"
            );
        }
    }

    fn inherited(&self) -> MutexGuard<'_, Vec<Inherited>> {
        self.inherited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket of a listener's address: the one that is bound already, or a new one.
    pub fn bind(&self, listener: &Arc<str>, address: &Address) -> Result<Arc<ListenSocket>, BindError> {
        let key = key(listener, address);
        // The lock is held while binding: two callers must not bind the same address twice.
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = bound.get(&key).and_then(Weak::upgrade) {
            return Ok(socket);
        }
        bound.retain(|_, socket| socket.strong_count() > 0);
        let taken: Vec<OwnedFd> = self
            .inherited()
            .extract_if(.., |one| one.is_for(listener, address))
            .map(|inherited| inherited.socket)
            .collect();
        let socket = match taken.is_empty() {
            true => ListenSocket::bind(address, self.workers)?,
            false => ListenSocket::taken(taken, self.workers)
                .map_err(|source| BindError { address: address.clone(), source })?,
        };
        let socket = Arc::new(socket);
        bound.insert(key, Arc::downgrade(&socket));
        Ok(socket)
    }
}

fn key(listener: &Arc<str>, address: &Address) -> Key {
    (address.clone(), is_chosen_by_system(address).then(|| listener.clone()))
}

fn is_chosen_by_system(address: &Address) -> bool {
    matches!(address, Address::Tcp(tcp) if SocketAddr::port(tcp) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> Address {
        Address::Tcp(([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn an_address_that_stays_keeps_its_socket() {
        let sockets = Sockets::new(2, Vec::new());
        let name: Arc<str> = "web".into();
        let before = sockets.bind(&name, &any_port()).unwrap();
        let after = sockets.bind(&name, &any_port()).unwrap();
        assert!(Arc::ptr_eq(&before, &after));
    }

    #[test]
    fn listeners_with_a_chosen_port_do_not_share_it() {
        let sockets = Sockets::new(1, Vec::new());
        let one = sockets.bind(&"one".into(), &any_port()).unwrap();
        let another = sockets.bind(&"another".into(), &any_port()).unwrap();
        assert_ne!(one.address(), another.address());
    }

    #[test]
    fn an_address_can_be_bound_again_after_its_last_holder() {
        let sockets = Sockets::new(1, Vec::new());
        let first = sockets.bind(&"web".into(), &any_port()).unwrap();
        let address = first.address().clone();
        drop(first);
        let again = sockets.bind(&"renamed".into(), &address).unwrap();
        assert_eq!(*again.address(), address);
        assert!(Arc::ptr_eq(&again, &sockets.bind(&"web".into(), &address).unwrap()));
    }

    #[test]
    fn what_is_inherited_goes_to_its_listener_and_the_rest_is_closed() {
        let held = |listener: Option<&str>, configured: Option<&str>| {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::Tcp(socket.local_addr().unwrap());
            let (listener, configured) = (listener.map(str::to_owned), configured.map(str::to_owned));
            (Inherited { listener, configured, socket: socket.into() }, address)
        };
        let (chosen, of_chosen) = held(Some("web"), Some("127.0.0.1:0"));
        let (fixed, of_fixed) = held(Some("old"), Some("127.0.0.1:80"));
        let (bound, of_bound) = held(None, None);
        let (other, _) = held(Some("gone"), Some("127.0.0.1:0"));
        let sockets = Sockets::new(1, vec![chosen, fixed, bound, other]);
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        assert!(!sockets.inherits("renamed", &any_port()), "a chosen port belongs to its listener");
        let bind = |name: &str, address: &Address| sockets.bind(&name.into(), address).unwrap();
        assert_eq!(*bind("web", &any_port()).address(), of_chosen);
        assert_eq!(*bind("renamed", &tcp("127.0.0.1:80")).address(), of_fixed);
        assert_eq!(*bind("third", &of_bound).address(), of_bound);
        assert_eq!(sockets.inherited().len(), 1);
        sockets.discard_the_rest();
        assert!(!sockets.inherits("gone", &any_port()));
    }
}
