//! Where the process listens: sockets are bound before anything changes, handed to the workers when the new
//! snapshot is in force, and closed when the last listener leaves them.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::AtomicUsize},
};

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use crate::{
    listener::{
        socket::ListenSocket,
        sockets::{Inherited, Sockets},
        worker::{Command, Listen},
    },
    restart::Offer,
    snapshot::Snapshot,
};

/// Bound, by listener.
pub(super) type Bound = Vec<(Arc<str>, Arc<ListenSocket>)>;

/// Sockets in use.
pub(super) struct Listening {
    sockets: Sockets,
    by_name: HashMap<Arc<str>, Arc<ListenSocket>>,
    closed: bool,
}

impl Listening {
    /// Nowhere yet; what is inherited waits for its listeners.
    pub(super) fn new(workers: usize, inherited: Vec<Inherited>) -> Self {
        Self { sockets: Sockets::new(workers, inherited), by_name: HashMap::new(), closed: false }
    }

    /// As [`Listening::bind`], at the start: fails if another process listens on one of the addresses, which
    /// `SO_REUSEPORT` would let pass to share its connections.
    pub(super) fn bind_alone(&self, snapshot: &Snapshot) -> Result<Bound> {
        for plan in &snapshot.listeners {
            let (name, address) = (&plan.config.name, &plan.config.address);
            if !self.sockets.inherits(name, address) {
                ListenSocket::probe(address).with_context(|| format!("listeners.{name}"))?;
            }
        }
        let bound = self.bind(snapshot)?;
        self.sockets.discard_the_rest();
        Ok(bound)
    }

    /// Everything, for a successor. None: it was closed.
    pub(super) fn offer(&self, snapshot: &Snapshot) -> io::Result<Option<Vec<Offer>>> {
        if self.closed {
            return Ok(None);
        }
        let configured = |name: &Arc<str>| snapshot.listeners.iter().find(|plan| plan.config.name == *name);
        let mut offers = Vec::new();
        for (name, socket) in &self.by_name {
            let Some(plan) = configured(name) else { continue };
            let (listener, configured) = (name.to_string(), plan.config.address.to_string());
            offers.push(Offer { listener, configured, sockets: socket.descriptors()? });
        }
        Ok(Some(offers))
    }

    /// A successor has them all.
    pub(super) fn hand_over(&self) {
        self.by_name.values().for_each(|socket| socket.hand_over());
    }

    /// A socket for each listener: the one it has, or a new one. Nothing is accepted yet.
    pub(super) fn bind(&self, snapshot: &Snapshot) -> Result<Bound> {
        let mut bound = Vec::with_capacity(snapshot.listeners.len());
        for plan in &snapshot.listeners {
            let name = Arc::clone(&plan.config.name);
            let socket = self.sockets.bind(&name, &plan.config.address);
            bound.push((Arc::clone(&name), socket.with_context(|| format!("listeners.{name}"))?));
        }
        Ok(bound)
    }

    /// Begins accepting on what is new and stops where a listener is gone or moved.
    /// Nowhere once it was closed: a drain overtook the reload.
    pub(super) fn apply(&mut self, bound: Bound, workers: &[mpsc::UnboundedSender<Command>]) {
        if self.closed {
            return;
        }
        self.by_name.retain(|name, listening| {
            let stays = bound.iter().any(|(n, socket)| n == name && Arc::ptr_eq(socket, listening));
            if !stays {
                tracing::info!(listener = &**name, address = %listening.address(), "listening no more");
                workers.iter().for_each(|worker| drop(worker.send(Command::Close(Arc::clone(name)))));
            }
            stays
        });
        for (name, socket) in bound {
            if self.by_name.contains_key(&name) {
                continue;
            }
            let open = Arc::new(AtomicUsize::new(0));
            tracing::info!(listener = &*name, address = %socket.address(), "listening");
            for worker in workers {
                let (name, socket, open) = (Arc::clone(&name), Arc::clone(&socket), Arc::clone(&open));
                let _ = worker.send(Command::Listen(Listen { name, socket, open }));
            }
            self.by_name.insert(name, socket);
        }
    }

    /// Lets go of all sockets, for good.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.by_name.clear();
    }

    /// Name and address of each listener, for people.
    pub(super) fn told(&self) -> Vec<(Arc<str>, String)> {
        let address = |(name, socket): (&Arc<str>, &Arc<ListenSocket>)| {
            (Arc::clone(name), socket.address().to_string())
        };
        let mut all: Vec<_> = self.by_name.iter().map(address).collect();
        all.sort();
        all
    }
}
