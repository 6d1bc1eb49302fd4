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

/// The interface's name, and that of the function for whose sake values are moved in.
pub(crate) const INTERFACE: &str = "weir:policy/host@0.1.0";
pub(crate) const REQUEST_VALUE: &str = "request-value";

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    let mut host = linker.instance(INTERFACE)?;
    host.func_wrap("log", |mut call: Call<'_, V>, (level, message): (Level, WasmStr)| {
        charge(&mut call)?;
        let message = message.to_str(&call)?;
        let host = call.data();
        host.shared.log.write(&host.name, level.into(), &message, clock::monotonic_ms());
        Ok(())
    })?;
    host.func_wrap("now-ms", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((clock::unix_ms(),))
    })?;
    host.func_wrap("random", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        random(&mut call).map(|number| (number,))
    })?;
    host.func_wrap(REQUEST_VALUE, |mut call: Call<'_, V>, (id, name): (u64, WasmStr)| {
        charge(&mut call)?;
        let name = name.to_str(&call)?;
        let host = call.data();
        let shown = host.phase == Phase::Hook(id);
        let value = if shown { host.values.value(&name) } else { None };
        Ok((value.map(|bytes| bytes.into_owned()),))
    })?;
    host.func_wrap("count", |mut call: Call<'_, V>, (metric, by): (u32, u64)| {
        charge(&mut call)?;
        let counted = call.data().shared.metrics.count(metric, by);
        counted.map_or_else(|| forbid(format!("no metric {metric}")), Ok)
    })?;
    host.func_wrap("metric", |mut call: Call<'_, V>, (name, help): (WasmStr, WasmStr)| {
        charge(&mut call)?;
        call.data().only_in_configure("host.metric")?;
        let found = call.data().shared.metrics.find(&name.to_str(&call)?, &help.to_str(&call)?);
        found.map(|position| (position,)).or_else(forbid)
    })
}

pub(super) fn random<V>(call: &mut Call<'_, V>) -> wasmtime::Result<u64> {
    call.data_mut().chance.next().map_or_else(no_chance, Ok)
}

pub(super) fn fill_random(bytes: &mut [u8]) -> wasmtime::Result<()> {
    chance::fill(bytes).map_or_else(no_chance, Ok)
}

fn no_chance<T>() -> wasmtime::Result<T> {
    forbid("the system has no random numbers")
}
