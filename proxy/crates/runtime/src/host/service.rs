//! `weir:policy/host`: log, clock, chance, values on demand, metrics.

use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};

use super::{Call, Host, Phase, Values, chance, charge, forbid};
use crate::{clock, shared};

/// As the contract orders them.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by lifting only")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<Level> for shared::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// The level of this number in the contract's order.
pub(crate) fn level(number: u32) -> Option<shared::Level> {
    use shared::Level::{Debug, Error, Info, Trace, Warn};
    [Trace, Debug, Info, Warn, Error].get(number as usize).copied()
}

/// The interface's name, and that of the function for whose sake values are moved in.
pub(crate) const INTERFACE: &str = "weir:policy/host@0.1.0";
pub(crate) const REQUEST_VALUE: &str = "request-value";

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    let mut host = linker.instance(INTERFACE)?;
    host.func_wrap("log", |mut call: Call<'_, V>, (level, message): (Level, WasmStr)| {
        charge(&mut call)?;
        call.data().log(level.into(), &message.to_str(&call)?);
        Ok(())
    })?;
    host.func_wrap("now-ms", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((call.data().now_ms(),))
    })?;
    host.func_wrap("random", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((call.data_mut().random()?,))
    })?;
    host.func_wrap(REQUEST_VALUE, |mut call: Call<'_, V>, (id, name): (u64, WasmStr)| {
        charge(&mut call)?;
        let value = call.data().request_value(id, &name.to_str(&call)?);
        Ok((value,))
    })?;
    host.func_wrap("count", |mut call: Call<'_, V>, (metric, by): (u32, u64)| {
        charge(&mut call)?;
        call.data().count(metric, by)
    })?;
    host.func_wrap("metric", |mut call: Call<'_, V>, (name, help): (WasmStr, WasmStr)| {
        charge(&mut call)?;
        call.data().only_in_configure("host.metric")?;
        Ok((call.data().metric(&name.to_str(&call)?, &help.to_str(&call)?)?,))
    })
}

/// What the functions do, whichever way they are called.
impl<V: Values> Host<V> {
    pub(crate) fn log(&self, level: shared::Level, message: &str) {
        self.shared.log.write(&self.name, level, message, clock::monotonic_ms());
    }

    pub(crate) fn now_ms(&self) -> u64 {
        clock::unix_ms()
    }

    pub(crate) fn random(&mut self) -> wasmtime::Result<u64> {
        self.chance.next().map_or_else(no_chance, Ok)
    }

    /// Only of the exchange that the running hook is about.
    pub(crate) fn request_value(&self, id: u64, name: &str) -> Option<Vec<u8>> {
        let shown = self.phase == Phase::Hook(id);
        let value = if shown { self.values.value(name) } else { None };
        value.map(|bytes| bytes.into_owned())
    }

    pub(crate) fn count(&self, metric: u32, by: u64) -> wasmtime::Result<()> {
        let counted = self.shared.metrics.count(metric, by);
        counted.map_or_else(|| forbid(format!("no metric {metric}")), Ok)
    }

    pub(crate) fn metric(&self, name: &str, help: &str) -> wasmtime::Result<u32> {
        self.shared.metrics.find(name, help).or_else(forbid)
    }
}

pub(super) fn fill_random(bytes: &mut [u8]) -> wasmtime::Result<()> {
    chance::fill(bytes).map_or_else(no_chance, Ok)
}

fn no_chance<T>() -> wasmtime::Result<T> {
    forbid("the system has no random numbers")
}
