//! The contract's imports for a core module: arguments read from its memory, results written to it. What they do
//! is [`crate::host`]'s, for both lanes.
//!
//! CanonicalABI.md, "Flattening": strings and lists come as address and length; a result of more than one value
//! goes to an address that the caller adds. Everything is checked in the order in which the component lane does,
//! so that a guest that does several things wrong ends in the same way: may it call at all, are its arguments
//! within bounds, has it calls left, is its text text, does the contract allow it, is the place for the result one.

use wasmtime::{AsContextMut, Caller, Linker};

use super::{
    lift::{Lift, Malformed, text},
    lower::{Lower, give},
};
use crate::{
    Values,
    host::{self, CRYPTO, Host, INTERFACE, Key, STATE},
};

type Guest<'a, V> = Caller<'a, Host<V>>;

/// Defines what a policy may import.
pub(crate) fn link<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    state_numbers(linker)?;
    state_values(linker)?;
    service(linker)?;
    crypto(linker)
}

fn state_numbers<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    linker.func_wrap(STATE, "cell", |mut guest: Guest<'_, V>, name: u32, length: u32| {
        let (mut lift, host) = enter(&mut guest)?;
        let name = lift.raw_text((name, length))?;
        host.meter.charge()?;
        host.cell(text(name)?)
    })?;
    linker.func_wrap(STATE, "load", |mut guest: Guest<'_, V>, cell: u32| charged(&mut guest)?.load(cell))?;
    linker.func_wrap(STATE, "add", |mut guest: Guest<'_, V>, cell: u32, by: i64| {
        charged(&mut guest)?.add(cell, by)
    })?;
    linker.func_wrap(
        STATE,
        "compare-exchange",
        |mut guest: Guest<'_, V>, cell: u32, expected: i64, new: i64, place: u32| {
            let exchanged = charged(&mut guest)?.compare_exchange(cell, expected, new)?;
            give(guest.as_context_mut(), place, 8, 16, |lower| match exchanged {
                Ok(()) => lower.write(place, &[0]),
                Err(held) => {
                    lower.write(place, &[1])?;
                    lower.write(place + 8, &held.to_le_bytes())
                }
            })
        },
    )?;
    Ok(())
}

fn state_values<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    linker.func_wrap(STATE, "get", |mut guest: Guest<'_, V>, key: u32, length: u32, place: u32| {
        let (mut lift, host) = enter(&mut guest)?;
        let key = lift.raw_text((key, length))?;
        host.meter.charge()?;
        let value = host.get(text(key)?);
        give_optional(guest, place, value.as_deref())
    })?;
    linker.func_wrap(
        STATE,
        "put",
        |mut guest: Guest<'_, V>, key: u32, key_length: u32, value: u32, length: u32, ttl_ms: u32| {
            let (mut lift, host) = enter(&mut guest)?;
            let key = lift.raw_text((key, key_length))?;
            let value = lift.bytes((value, length))?;
            host.meter.charge()?;
            host.put(text(key)?, value, ttl_ms);
            Ok(())
        },
    )?;
    linker.func_wrap(STATE, "limit", |mut guest: Guest<'_, V>, name: u32, length: u32, place: u32| {
        let (mut lift, host) = enter(&mut guest)?;
        let name = lift.raw_text((name, length))?;
        host.meter.charge()?;
        host.only_in_configure("state.limit")?;
        let found = host.limit(text(name)?);
        give_position(guest, place, found)
    })?;
    linker.func_wrap(
        STATE,
        "take",
        |mut guest: Guest<'_, V>, limit: u32, key: u32, length: u32, cost: u32| {
            let (mut lift, host) = enter(&mut guest)?;
            let key = lift.raw_text((key, length))?;
            host.meter.charge()?;
            host.take(limit, text(key)?, cost)
        },
    )?;
    Ok(())
}

fn service<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    linker.func_wrap(
        INTERFACE,
        "log",
        |mut guest: Guest<'_, V>, level: u32, message: u32, length: u32| {
            let (mut lift, host) = enter(&mut guest)?;
            let level = host::level(level).ok_or(Malformed::Case(level))?;
            let message = lift.raw_text((message, length))?;
            host.meter.charge()?;
            host.log(level, text(message)?);
            Ok(())
        },
    )?;
    linker.func_wrap(INTERFACE, "now-ms", |mut guest: Guest<'_, V>| Ok(charged(&mut guest)?.now_ms()))?;
    linker.func_wrap(INTERFACE, "random", |mut guest: Guest<'_, V>| charged(&mut guest)?.random())?;
    linker.func_wrap(
        INTERFACE,
        host::REQUEST_VALUE,
        |mut guest: Guest<'_, V>, id: u64, name: u32, length: u32, place: u32| {
            let (mut lift, host) = enter(&mut guest)?;
            let name = lift.raw_text((name, length))?;
            host.meter.charge()?;
            let value = host.request_value(id, text(name)?);
            give_optional(guest, place, value.as_deref())
        },
    )?;
    linker.func_wrap(INTERFACE, "count", |mut guest: Guest<'_, V>, metric: u32, by: u64| {
        charged(&mut guest)?.count(metric, by)
    })?;
    linker.func_wrap(
        INTERFACE,
        "metric",
        |mut guest: Guest<'_, V>, name: u32, name_length: u32, help: u32, length: u32| {
            let (mut lift, host) = enter(&mut guest)?;
            let (name, help) = (lift.raw_text((name, name_length))?, lift.raw_text((help, length))?);
            host.meter.charge()?;
            host.only_in_configure("host.metric")?;
            host.metric(text(name)?, text(help)?)
        },
    )?;
    Ok(())
}

fn crypto<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    linker.func_wrap(CRYPTO, "key", |mut guest: Guest<'_, V>, jwk: u32, length: u32, place: u32| {
        let (mut lift, host) = enter(&mut guest)?;
        let jwk = lift.raw_text((jwk, length))?;
        host.meter.charge()?;
        let made = host.keep_key(Key::parse(text(jwk)?))?;
        give_position(guest, place, made)
    })?;
    linker.func_wrap(CRYPTO, "forget-keys", |mut guest: Guest<'_, V>| {
        charged(&mut guest)?.forget_keys();
        Ok(())
    })?;
    linker.func_wrap(
        CRYPTO,
        "verify",
        |mut guest: Guest<'_, V>,
         key: u32,
         algorithm: u32,
         algorithm_length: u32,
         message: u32,
         message_length: u32,
         signature: u32,
         length: u32| {
            let (mut lift, host) = enter(&mut guest)?;
            let algorithm = lift.raw_text((algorithm, algorithm_length))?;
            let message = lift.bytes((message, message_length))?;
            let signature = lift.bytes((signature, length))?;
            host.meter.charge()?;
            host.verify(key, text(algorithm)?, message, signature).map(u32::from)
        },
    )?;
    linker.func_wrap(CRYPTO, "sha256", |mut guest: Guest<'_, V>, data: u32, length: u32, place: u32| {
        let (mut lift, host) = enter(&mut guest)?;
        let data = lift.bytes((data, length))?;
        host.meter.charge()?;
        let digest = host::sha256(data);
        give(guest.as_context_mut(), place, 4, 8, |lower| give_bytes(lower, place, &digest))
    })?;
    Ok(())
}

/// The guest calls: its memory, and the proxy's side of it.
#[inline]
fn enter<'a, V: Values>(guest: &'a mut Guest<'_, V>) -> wasmtime::Result<(Lift<'a>, &'a mut Host<V>)> {
    let memory = guest.data().ties.memory()?;
    let (memory, host) = memory.data_and_store_mut(guest);
    Ok((Lift::new(memory, host.meter.limits().answer), host))
}

/// The guest calls with nothing but numbers.
#[inline]
fn charged<'a, V: Values>(guest: &'a mut Guest<'_, V>) -> wasmtime::Result<&'a mut Host<V>> {
    let host = guest.data_mut();
    host.ties.may_leave()?;
    host.meter.charge()?;
    Ok(host)
}

/// `option<list<u8>>`.
fn give_optional<V: Values>(
    mut guest: Guest<'_, V>,
    place: u32,
    value: Option<&[u8]>,
) -> wasmtime::Result<()> {
    give(guest.as_context_mut(), place, 4, 12, |lower| {
        lower.write(place, &[u8::from(value.is_some())])?;
        value.map_or(Ok(()), |value| give_bytes(lower, place + 4, value))
    })
}

/// `result<u32, string>`.
fn give_position<V: Values>(
    mut guest: Guest<'_, V>,
    place: u32,
    found: Result<u32, String>,
) -> wasmtime::Result<()> {
    give(guest.as_context_mut(), place, 4, 12, |lower| {
        lower.write(place, &[u8::from(found.is_err())])?;
        match found {
            Ok(position) => lower.write(place + 4, &position.to_le_bytes()),
            Err(reason) => give_bytes(lower, place + 4, reason.as_bytes()),
        }
    })
}

fn give_bytes<V: Values>(lower: &mut Lower<'_, V>, place: u32, bytes: &[u8]) -> wasmtime::Result<()> {
    let pair = lower.bytes(bytes)?;
    lower.write_pair(place, pair)
}
