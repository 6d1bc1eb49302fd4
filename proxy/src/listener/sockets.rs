//! The sockets of a process over reloads: an address that stays in the configuration keeps its socket, and
//! with it the connections that wait in its backlog.

use super::socket::{BindError, ListenSocket};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use weir_config::checked::Address;

/// The bound addresses of a process. Each is held by the snapshots that listen on it and closed with the
/// last of them.
#[derive(Debug)]
pub struct Sockets {
    workers: usize,
    bound: Mutex<HashMap<Key, Weak<ListenSocket>>>,
}

/// Two listeners may both ask for a port of the system's choice; their names tell them apart.
type Key = (Address, Option<Arc<str>>);

impl Sockets {
    /// None bound yet, each to be shared by this many workers.
    pub fn new(workers: usize) -> Self {
        Sockets { workers, bound: Mutex::default() }
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
        let socket = Arc::new(ListenSocket::bind(address, self.workers)?);
        bound.insert(key, Arc::downgrade(&socket));
        Ok(socket)
    }
}

fn key(listener: &Arc<str>, address: &Address) -> Key {
    let chosen_by_system = matches!(address, Address::Tcp(tcp) if SocketAddr::port(tcp) == 0);
    (address.clone(), chosen_by_system.then(|| listener.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> Address {
        Address::Tcp(([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn an_address_that_stays_keeps_its_socket() {
        let sockets = Sockets::new(2);
        let name: Arc<str> = "web".into();
        let before = sockets.bind(&name, &any_port()).unwrap();
        let after = sockets.bind(&name, &any_port()).unwrap();
        assert!(Arc::ptr_eq(&before, &after));
    }

    #[test]
    fn listeners_with_a_chosen_port_do_not_share_it() {
        let sockets = Sockets::new(1);
        let one = sockets.bind(&"one".into(), &any_port()).unwrap();
        let another = sockets.bind(&"another".into(), &any_port()).unwrap();
        assert_ne!(one.address(), another.address());
    }

    #[test]
    fn an_address_can_be_bound_again_after_its_last_holder() {
        let sockets = Sockets::new(1);
        let first = sockets.bind(&"web".into(), &any_port()).unwrap();
        let address = first.address().clone();
        drop(first);
        let again = sockets.bind(&"renamed".into(), &address).unwrap();
        assert_eq!(*again.address(), address);
        assert!(Arc::ptr_eq(&again, &sockets.bind(&"web".into(), &address).unwrap()));
    }
}
