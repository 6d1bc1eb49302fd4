//! What a filter calls: the contract's imports, flattened, and their safe faces. The component holds
//! only those a filter uses.

use std::mem::MaybeUninit;
use std::slice;

use super::arena;
use super::raw::{RawList, RawOption};
use crate::host::Level;

mod state {
    #[link(wasm_import_module = "weir:policy/state@0.1.0")]
    unsafe extern "C" {
        pub(super) fn cell(name: *const u8, len: usize) -> u32;
        pub(super) fn load(cell: u32) -> i64;
        pub(super) fn add(cell: u32, by: i64) -> i64;
        #[link_name = "compare-exchange"]
        pub(super) fn compare_exchange(cell: u32, expected: i64, new: i64, result: *mut super::Exchanged);
        pub(super) fn get(key: *const u8, len: usize, result: *mut super::RawOption<super::RawList>);
        pub(super) fn put(key: *const u8, key_len: usize, value: *const u8, len: usize, ttl_ms: u32);
        pub(super) fn limit(name: *const u8, len: usize, result: *mut super::Found);
        pub(super) fn take(limit: u32, key: *const u8, len: usize, cost: u32) -> u32;
    }
}

mod host {
    #[link(wasm_import_module = "weir:policy/host@0.1.0")]
    unsafe extern "C" {
        pub(super) fn log(level: u32, message: *const u8, len: usize);
        #[link_name = "now-ms"]
        pub(super) fn now_ms() -> u64;
        pub(super) fn random() -> u64;
        #[link_name = "request-value"]
        pub(super) fn request_value(
            id: u64,
            name: *const u8,
            len: usize,
            result: *mut super::RawOption<super::RawList>,
        );
        pub(super) fn count(metric: u32, by: u64);
        pub(super) fn metric(name: *const u8, name_len: usize, help: *const u8, len: usize) -> u32;
    }
}

mod crypto {
    #[link(wasm_import_module = "weir:policy/crypto@0.1.0")]
    unsafe extern "C" {
        pub(super) fn key(jwk: *const u8, len: usize, result: *mut super::Found);
        #[link_name = "forget-keys"]
        pub(super) fn forget_keys();
        pub(super) fn verify(
            key: u32,
            algorithm: *const u8,
            algorithm_len: usize,
            message: *const u8,
            message_len: usize,
            signature: *const u8,
            len: usize,
        ) -> u32;
        pub(super) fn sha256(data: *const u8, len: usize, result: *mut super::RawList);
    }
}

/// `result<_, s64>`.
#[repr(C)]
struct Exchanged {
    failed: u8,
    held: i64,
}

/// `result<u32, string>`.
#[repr(C)]
struct Found {
    failed: u8,
    value: FoundValue,
}

#[repr(C)]
union FoundValue {
    position: u32,
    error: RawList,
}

/// Calls with a place for the result and takes what the proxy wrote there out of the arena.
///
/// `call` must fill the place, as every import with a result pointer does.
fn receive<Raw, T>(call: impl FnOnce(*mut Raw), take: impl FnOnce(Raw) -> T) -> T {
    let mark = arena::mark();
    let mut result = MaybeUninit::<Raw>::uninit();
    call(result.as_mut_ptr());
    // SAFETY: the proxy wrote the whole result before the import returned, or trapped.
    let value = take(unsafe { result.assume_init() });
    arena::release(mark);
    value
}

fn owned(list: RawList) -> Vec<u8> {
    if list.len == 0 {
        return Vec::new();
    }
    // SAFETY: the proxy wrote the list into memory it had from `realloc`; `receive` has not released it.
    unsafe { slice::from_raw_parts(list.at, list.len) }.to_vec()
}

fn position(found: Found) -> Result<u32, String> {
    // SAFETY: `failed` says which case was written; both are plain words.
    unsafe {
        if found.failed == 0 {
            return Ok(found.value.position);
        }
        Err(String::from_utf8_lossy(&owned(found.value.error)).into_owned())
    }
}

fn optional(found: RawOption<RawList>) -> Option<Vec<u8>> {
    (found.some != 0).then(|| owned(found.value))
}

// SAFETY of all below: each passes the range of a live slice and, where there is a result, a place
// of the result's layout.

pub(crate) fn cell(name: &str) -> u32 {
    unsafe { state::cell(name.as_ptr(), name.len()) }
}

pub(crate) fn load(cell: u32) -> i64 {
    unsafe { state::load(cell) }
}

pub(crate) fn add(cell: u32, by: i64) -> i64 {
    unsafe { state::add(cell, by) }
}

pub(crate) fn compare_exchange(cell: u32, expected: i64, new: i64) -> Result<(), i64> {
    receive(
        |result| unsafe { state::compare_exchange(cell, expected, new, result) },
        |raw: Exchanged| if raw.failed == 0 { Ok(()) } else { Err(raw.held) },
    )
}

pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
    receive(|result| unsafe { state::get(key.as_ptr(), key.len(), result) }, optional)
}

pub(crate) fn put(key: &str, value: &[u8], ttl_ms: u32) {
    unsafe { state::put(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms) }
}

pub(crate) fn limit(name: &str) -> Result<u32, String> {
    receive(|result| unsafe { state::limit(name.as_ptr(), name.len(), result) }, position)
}

pub(crate) fn take(limit: u32, key: &str, cost: u32) -> u32 {
    unsafe { state::take(limit, key.as_ptr(), key.len(), cost) }
}

pub(crate) fn log(level: Level, message: &str) {
    unsafe { host::log(level as u32, message.as_ptr(), message.len()) }
}

pub(crate) fn now_ms() -> u64 {
    unsafe { host::now_ms() }
}

pub(crate) fn random() -> u64 {
    unsafe { host::random() }
}

pub(crate) fn request_value(id: u64, name: &str) -> Option<Vec<u8>> {
    receive(|result| unsafe { host::request_value(id, name.as_ptr(), name.len(), result) }, optional)
}

pub(crate) fn count(metric: u32, by: u64) {
    unsafe { host::count(metric, by) }
}

pub(crate) fn metric(name: &str, help: &str) -> u32 {
    unsafe { host::metric(name.as_ptr(), name.len(), help.as_ptr(), help.len()) }
}

pub(crate) fn key(jwk: &str) -> Result<u32, String> {
    receive(|result| unsafe { crypto::key(jwk.as_ptr(), jwk.len(), result) }, position)
}

pub(crate) fn forget_keys() {
    unsafe { crypto::forget_keys() }
}

pub(crate) fn verify(key: u32, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
    let (a, m, s) = (algorithm.as_bytes(), message, signature);
    unsafe { crypto::verify(key, a.as_ptr(), a.len(), m.as_ptr(), m.len(), s.as_ptr(), s.len()) != 0 }
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let sum = receive(|result| unsafe { crypto::sha256(data.as_ptr(), data.len(), result) }, owned);
    match sum.try_into() {
        Ok(sum) => sum,
        Err(_) => core::arch::wasm32::unreachable(), // the proxy broke the contract
    }
}
