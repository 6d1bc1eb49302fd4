//! Clocks, random numbers and the command line: what works, or is empty.

use wasmtime::component::{ComponentType, LinkerInstance, Lower};

use super::streams::pollable;
use crate::{
    clock,
    host::{Call, Host, Values, charge, forbid, service::fill_random},
};

/// One call's random bytes.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

#[derive(ComponentType, Lower)]
#[component(record)]
struct DateTime {
    seconds: u64,
    nanoseconds: u32,
}

pub(super) fn link<V: Values>(
    instance: &mut LinkerInstance<'_, Host<V>>,
    interface: &str,
) -> wasmtime::Result<()> {
    match interface {
        "wasi:cli/environment" => environment(instance),
        "wasi:cli/exit" => exit(instance),
        "wasi:clocks/monotonic-clock" => monotonic_clock(instance),
        "wasi:clocks/wall-clock" => wall_clock(instance),
        "wasi:random/random" => random_numbers(instance, "get-random"),
        "wasi:random/insecure" => random_numbers(instance, "get-insecure-random"),
        "wasi:random/insecure-seed" => {
            instance.func_wrap("insecure-seed", |mut call: Call<'_, V>, (): ()| {
                charge(&mut call)?;
                Ok(((call.data_mut().random()?, call.data_mut().random()?),))
            })
        }
        _ => Ok(()),
    }
}

fn environment<V: Values>(environment: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    environment.func_wrap("get-environment", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((Vec::<(String, String)>::new(),))
    })?;
    environment.func_wrap("get-arguments", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((Vec::<String>::new(),))
    })?;
    environment.func_wrap("initial-cwd", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((None::<String>,))
    })
}

fn exit<V: Values>(exit: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    exit.func_wrap("exit", |mut call: Call<'_, V>, (_status,): (Result<(), ()>,)| {
        charge(&mut call)?;
        forbid::<()>("the filter called `exit`")
    })?;
    exit.func_wrap("exit-with-code", |mut call: Call<'_, V>, (code,): (u8,)| {
        charge(&mut call)?;
        forbid::<()>(format!("the filter called `exit` with code {code}"))
    })
}

fn monotonic_clock<V: Values>(monotonic: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    monotonic.func_wrap("now", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((clock::monotonic_ns(),))
    })?;
    monotonic.func_wrap("resolution", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((1_u64,))
    })?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        monotonic.func_wrap(name, |mut call: Call<'_, V>, (_when,): (u64,)| {
            charge(&mut call)?;
            Ok((pollable(),))
        })?;
    }
    Ok(())
}

fn wall_clock<V: Values>(wall: &mut LinkerInstance<'_, Host<V>>) -> wasmtime::Result<()> {
    wall.func_wrap("now", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        let ms = clock::unix_ms();
        let nanoseconds = u32::try_from(ms % 1000)? * 1_000_000;
        Ok((DateTime { seconds: ms / 1000, nanoseconds },))
    })?;
    wall.func_wrap("resolution", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        Ok((DateTime { seconds: 0, nanoseconds: 1_000_000 },))
    })
}

fn random_numbers<V: Values>(
    instance: &mut LinkerInstance<'_, Host<V>>,
    prefix: &str,
) -> wasmtime::Result<()> {
    instance.func_wrap(&format!("{prefix}-bytes"), |mut call: Call<'_, V>, (length,): (u64,)| {
        charge(&mut call)?;
        if length > MAX_RANDOM_BYTES {
            return forbid(format!("more than {MAX_RANDOM_BYTES} random bytes at once"));
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        fill_random(&mut bytes)?;
        Ok((bytes,))
    })?;
    instance.func_wrap(&format!("{prefix}-u64"), |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        call.data_mut().random().map(|number| (number,))
    })
}
