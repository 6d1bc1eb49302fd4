//! `weir:policy/state`: numbers, keyed values and rate limits.

use std::sync::{
    Arc,
    atomic::Ordering::{AcqRel, Acquire},
};

use wasmtime::component::{Linker, WasmList, WasmStr};

use super::{Call, Host, Values, charge, forbid};
use crate::clock;

/// The interface's name.
pub(crate) const STATE: &str = "weir:policy/state@0.1.0";

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    let mut state = linker.instance(STATE)?;
    state.func_wrap("cell", |mut call: Call<'_, V>, (name,): (WasmStr,)| {
        charge(&mut call)?;
        Ok((call.data().cell(&name.to_str(&call)?)?,))
    })?;
    state.func_wrap("load", |mut call: Call<'_, V>, (cell,): (u32,)| {
        charge(&mut call)?;
        Ok((call.data().load(cell)?,))
    })?;
    state.func_wrap("add", |mut call: Call<'_, V>, (cell, by): (u32, i64)| {
        charge(&mut call)?;
        Ok((call.data().add(cell, by)?,))
    })?;
    state.func_wrap(
        "compare-exchange",
        |mut call: Call<'_, V>, (cell, expected, new): (u32, i64, i64)| {
            charge(&mut call)?;
            Ok((call.data().compare_exchange(cell, expected, new)?,))
        },
    )?;
    state.func_wrap("get", |mut call: Call<'_, V>, (key,): (WasmStr,)| {
        charge(&mut call)?;
        Ok((call.data().get(&key.to_str(&call)?),))
    })?;
    state.func_wrap("put", |mut call: Call<'_, V>, (key, value, ttl_ms): (WasmStr, WasmList<u8>, u32)| {
        charge(&mut call)?;
        call.data().put(&key.to_str(&call)?, value.as_le_slice(&call), ttl_ms);
        Ok(())
    })?;
    state.func_wrap("limit", |mut call: Call<'_, V>, (name,): (WasmStr,)| {
        charge(&mut call)?;
        call.data().only_in_configure("state.limit")?;
        Ok((call.data().limit(&name.to_str(&call)?),))
    })?;
    state.func_wrap("take", |mut call: Call<'_, V>, (limit, key, cost): (u32, WasmStr, u32)| {
        charge(&mut call)?;
        Ok((call.data().take(limit, &key.to_str(&call)?, cost)?,))
    })
}

/// What the functions do, whichever way they are called.
impl<V: Values> Host<V> {
    pub(crate) fn cell(&self, name: &str) -> wasmtime::Result<u32> {
        self.shared.cells.find(name).or_else(forbid)
    }

    pub(crate) fn load(&self, cell: u32) -> wasmtime::Result<i64> {
        let Some(cell) = self.shared.cells.at(cell) else { return unknown_cell(cell) };
        Ok(cell.load(Acquire))
    }

    pub(crate) fn add(&self, cell: u32, by: i64) -> wasmtime::Result<i64> {
        let Some(cell) = self.shared.cells.at(cell) else { return unknown_cell(cell) };
        Ok(cell.fetch_add(by, AcqRel).wrapping_add(by))
    }

    /// The inner error is what the cell holds instead.
    pub(crate) fn compare_exchange(
        &self,
        cell: u32,
        expected: i64,
        new: i64,
    ) -> wasmtime::Result<Result<(), i64>> {
        let Some(cell) = self.shared.cells.at(cell) else { return unknown_cell(cell) };
        Ok(cell.compare_exchange(expected, new, AcqRel, Acquire).map(|_| ()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.shared.values.get(key, clock::monotonic_ms())
    }

    pub(crate) fn put(&self, key: &str, value: &[u8], ttl_ms: u32) {
        self.shared.values.put(key, value, ttl_ms, clock::monotonic_ms());
    }

    pub(crate) fn limit(&self, name: &str) -> Result<u32, String> {
        self.buckets.find(name).ok_or_else(|| format!("no limit named \"{name}\" in the proxy's config"))
    }

    pub(crate) fn take(&self, limit: u32, key: &str, cost: u32) -> wasmtime::Result<u32> {
        let taken = self.buckets.take(limit, key, cost, clock::monotonic_ns());
        taken.map_or_else(|| forbid(format!("no limit {limit}")), Ok)
    }
}

fn unknown_cell<T>(cell: u32) -> wasmtime::Result<T> {
    forbid(format!("no cell {cell}"))
}
