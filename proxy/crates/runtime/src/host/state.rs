//! `weir:policy/state`: numbers, keyed values and rate limits.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use wasmtime::component::{Linker, WasmList, WasmStr};

use super::{Call, Host, Values, charge, forbid};
use crate::clock;

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    let mut state = linker.instance("weir:policy/state@0.1.0")?;
    state.func_wrap("cell", |mut call: Call<'_, V>, (name,): (WasmStr,)| {
        charge(&mut call)?;
        let found = call.data().shared.cells.find(&name.to_str(&call)?);
        found.map(|position| (position,)).or_else(forbid)
    })?;
    state.func_wrap("load", |mut call: Call<'_, V>, (cell,): (u32,)| {
        charge(&mut call)?;
        let Some(cell) = call.data().shared.cells.at(cell) else { return unknown_cell(cell) };
        Ok((cell.load(Acquire),))
    })?;
    state.func_wrap("add", |mut call: Call<'_, V>, (cell, by): (u32, i64)| {
        charge(&mut call)?;
        let Some(cell) = call.data().shared.cells.at(cell) else { return unknown_cell(cell) };
        Ok((cell.fetch_add(by, AcqRel).wrapping_add(by),))
    })?;
    state.func_wrap(
        "compare-exchange",
        |mut call: Call<'_, V>, (cell, expected, new): (u32, i64, i64)| {
            charge(&mut call)?;
            let Some(cell) = call.data().shared.cells.at(cell) else { return unknown_cell(cell) };
            Ok((cell.compare_exchange(expected, new, AcqRel, Acquire).map(|_| ()),))
        },
    )?;
    state.func_wrap("get", |mut call: Call<'_, V>, (key,): (WasmStr,)| {
        charge(&mut call)?;
        let value = call.data().shared.values.get(&key.to_str(&call)?, clock::monotonic_ms());
        Ok((value,))
    })?;
    state.func_wrap("put", |mut call: Call<'_, V>, (key, value, ttl_ms): (WasmStr, WasmList<u8>, u32)| {
        charge(&mut call)?;
        let key = key.to_str(&call)?;
        let value = value.as_le_slice(&call);
        call.data().shared.values.put(&key, value, ttl_ms, clock::monotonic_ms());
        Ok(())
    })?;
    state.func_wrap("limit", |mut call: Call<'_, V>, (name,): (WasmStr,)| {
        charge(&mut call)?;
        call.data().only_in_configure("state.limit")?;
        let name = name.to_str(&call)?;
        let found = call.data().buckets.find(&name);
        Ok((found.ok_or_else(|| format!("no limit named \"{name}\" in the proxy's config")),))
    })?;
    state.func_wrap("take", |mut call: Call<'_, V>, (limit, key, cost): (u32, WasmStr, u32)| {
        charge(&mut call)?;
        let taken = call.data().buckets.take(limit, &key.to_str(&call)?, cost, clock::monotonic_ns());
        taken.map_or_else(|| forbid(format!("no limit {limit}")), |wait_ms| Ok((wait_ms,)))
    })
}

fn unknown_cell<T>(cell: u32) -> wasmtime::Result<T> {
    forbid(format!("no cell {cell}"))
}
