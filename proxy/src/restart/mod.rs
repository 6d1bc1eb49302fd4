//! Restart without loss: the sockets of a process outlive it.
//!
//! Either another Weir hands them over - the new process asks for them through the Unix socket that `[restart]` names,
//! begins to serve, and only then says so; the old one drains from that moment, and goes on as if nothing had happened
//! if that moment never comes ([`handover`]) - or the service manager holds them ([`systemd`]). Connections that
//! nobody has accepted yet belong to the sockets, so that none is lost between the two.

mod handover;
mod systemd;

use std::{os::fd::OwnedFd, path::Path};

use anyhow::{Context, Result};

pub use handover::{Estate, Offer, Predecessor, Stage};
pub use systemd::{Manager, State};

pub use crate::listener::sockets::Inherited;

/// What a process begins with.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Of listeners.
    pub sockets: Vec<Inherited>,
    /// Of the admin API.
    pub admin: Option<OwnedFd>,
    /// Who waits to be told that all is well.
    pub predecessor: Option<Predecessor>,
}

impl Inheritance {
    /// From the Weir that answers at `restart`, if one does, else from the service manager.
    pub fn take(restart: Option<&Path>) -> Result<Self> {
        if let Some(path) = restart {
            let taken = Predecessor::find(path).with_context(|| {
                format!("restart.socket: {}: the process there does not hand over", path.display())
            })?;
            if let Some(taken) = taken {
                return Ok(taken);
            }
        }
        let sockets = systemd::sockets().context("the sockets of the service manager")?;
        Ok(Self { sockets, ..Self::default() })
    }
}
