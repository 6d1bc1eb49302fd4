//! What the proxy does for a policy: one file per interface that a policy may import.
//!
//! Every function here returns at once. None is asynchronous and none does I/O: wasmtime would refuse
//! all synchronous calls of a linker that holds a single asynchronous function, and a hook must not wait.

mod chance;
mod crypto;
mod jwk;
mod service;
mod state;
mod wasi;

pub(crate) use crypto::{CRYPTO, sha256};
pub(crate) use jwk::Key;
pub(crate) use service::{INTERFACE, REQUEST_VALUE, level};
pub(crate) use state::STATE;

use std::{borrow::Cow, sync::Arc};

use wasmtime::{
    StoreContextMut,
    component::{Component, Linker},
};

use crate::{
    Buckets, Shared, direct,
    fault::Forbidden,
    limits::{Meter, Occasion},
};
use chance::Chance;
use crypto::KeyRing;
use wasi::Streams;

/// The values of an exchange's request, for filters that ask for more than they were shown.
///
/// Moved into the instance around a hook (`mem::swap` with a default) if the component imports
/// `request-value` at all; otherwise it is not touched.
pub trait Values: Default + Send + 'static {
    /// The value of this name (as in `interest.request`), joined if it occurs more than once.
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// No values: for tools and tests.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoValues;

impl Values for NoValues {
    fn value(&self, _name: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

/// The part of an instance that belongs to the proxy.
pub(crate) struct Host<V> {
    pub(crate) name: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) buckets: Arc<Buckets>,
    pub(crate) meter: Meter,
    pub(crate) phase: Phase,
    /// Of the exchange of the running hook.
    pub(crate) values: V,
    /// On the direct lane, what imports know of the guest.
    pub(crate) ties: direct::Ties,
    chance: Chance,
    keys: KeyRing,
    streams: Streams,
}

/// What the guest is being called for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Configure,
    Update,
    /// A hook of this exchange.
    Hook(u64),
    /// The hook about a connection, which is of no exchange yet.
    Connection,
}

impl<V: Values> Host<V> {
    pub(crate) fn new(name: Arc<str>, shared: Arc<Shared>, buckets: Arc<Buckets>, meter: Meter) -> Self {
        Self {
            name,
            shared,
            buckets,
            meter,
            phase: Phase::Configure,
            values: V::default(),
            ties: direct::Ties::default(),
            chance: Chance::default(),
            keys: KeyRing::default(),
            streams: Streams::default(),
        }
    }

    /// A call into the guest begins.
    #[inline]
    pub(crate) fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.meter.begin(match phase {
            Phase::Hook(_) | Phase::Connection => Occasion::Hook,
            Phase::Configure | Phase::Update => Occasion::Setup,
        });
    }

    pub(crate) fn only_in_configure(&self, function: &str) -> wasmtime::Result<()> {
        if self.phase == Phase::Configure {
            Ok(())
        } else {
            forbid(format!("`{function}` outside configure"))
        }
    }
}

/// Defines what the component imports.
pub(crate) fn link<V: Values>(linker: &mut Linker<Host<V>>, component: &Component) -> wasmtime::Result<()> {
    state::link(linker)?;
    service::link(linker)?;
    crypto::link(linker)?;
    wasi::link(linker, component)
}

type Call<'a, V> = StoreContextMut<'a, Host<V>>;

/// Each call to the proxy begins with this.
#[inline]
fn charge<V>(call: &mut Call<'_, V>) -> wasmtime::Result<()> {
    call.data_mut().meter.charge()
}

/// Ends the guest: it did what the contract forbids.
fn forbid<T>(text: impl Into<String>) -> wasmtime::Result<T> {
    Err(wasmtime::Error::new(Forbidden(text.into())))
}
