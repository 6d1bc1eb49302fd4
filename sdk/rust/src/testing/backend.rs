//! What a filter calls, answered by the test's world instead of a proxy: the counterpart of
//! `abi::imports`, with the same faces.

use std::cell::RefCell;
use std::rc::Rc;

use super::head::Head;
use super::jwk::Key;
use super::world::World;
use crate::host::Level;

/// Whose hook runs.
pub(super) struct Scope {
    pub(super) world: Rc<World>,
    pub(super) keys: Rc<RefCell<Vec<Key>>>,
    /// The exchange the hook is about; none in `configure`, `update` and `on_connection`.
    pub(super) exchange: Option<(u64, Rc<RefCell<Head>>)>,
    /// Names are found in `configure` only.
    pub(super) configuring: bool,
}

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Runs a hook: calls made meanwhile go to this scope.
pub(super) fn enter<T>(scope: Scope, hook: impl FnOnce() -> T) -> T {
    /// Leaves also when the hook panics, or the next test on this thread would see its world.
    struct Leave(Option<Scope>);
    impl Drop for Leave {
        fn drop(&mut self) {
            SCOPE.set(self.0.take());
        }
    }
    let _leave = Leave(SCOPE.replace(Some(scope)));
    hook()
}

fn with<T>(call: impl FnOnce(&Scope) -> T) -> T {
    SCOPE.with_borrow(|scope| match scope {
        Some(scope) => call(scope),
        None => panic!("the proxy is called outside of a hook: run the filter through weir_sdk::testing"),
    })
}

fn configuring<T>(what: &str, call: impl FnOnce(&World) -> T) -> T {
    with(|scope| {
        assert!(scope.configuring, "trap: {what} outside of `configure`");
        call(&scope.world)
    })
}

pub(crate) fn cell(name: &str) -> u32 {
    configuring("a cell is named", |world| world.cell(name))
}

pub(crate) fn load(cell: u32) -> i64 {
    with(|scope| scope.world.replace_cell(cell, |held| held))
}

pub(crate) fn add(cell: u32, by: i64) -> i64 {
    with(|scope| scope.world.replace_cell(cell, |held| held.wrapping_add(by))).wrapping_add(by)
}

pub(crate) fn compare_exchange(cell: u32, expected: i64, new: i64) -> Result<(), i64> {
    let change = |held| if held == expected { new } else { held };
    let held = with(|scope| scope.world.replace_cell(cell, change));
    if held == expected { Ok(()) } else { Err(held) }
}

pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
    with(|scope| scope.world.get(key))
}

pub(crate) fn put(key: &str, value: &[u8], ttl_ms: u32) {
    with(|scope| scope.world.put(key, value, ttl_ms));
}

pub(crate) fn limit(name: &str) -> Result<u32, String> {
    configuring("a limit is named", |world| world.limit(name))
}

pub(crate) fn take(limit: u32, key: &str, cost: u32) -> u32 {
    with(|scope| scope.world.take(limit, key, cost))
}

pub(crate) fn log(level: Level, message: &str) {
    with(|scope| scope.world.log(level, message));
}

pub(crate) fn now_ms() -> u64 {
    with(|scope| scope.world.now_ms())
}

pub(crate) fn random() -> u64 {
    with(|scope| scope.world.random())
}

pub(crate) fn request_value(id: u64, name: &str) -> Option<Vec<u8>> {
    with(|scope| {
        let (running, head) = scope.exchange.as_ref()?;
        if *running != id {
            return None;
        }
        head.borrow().value(name, &scope.world)
    })
}

pub(crate) fn count(metric: u32, by: u64) {
    with(|scope| scope.world.count(metric, by));
}

pub(crate) fn metric(name: &str, _help: &str) -> u32 {
    configuring("a metric is named", |world| world.metric(name))
}

pub(crate) fn key(jwk: &str) -> Result<u32, String> {
    with(|scope| {
        assert!(scope.exchange.is_none(), "trap: a key is made outside of `configure` and `update`");
        let mut keys = scope.keys.borrow_mut();
        if keys.len() >= 256 {
            return Err("more than 256 keys".to_owned());
        }
        keys.push(Key::parse(jwk)?);
        Ok(keys.len() as u32 - 1)
    })
}

pub(crate) fn forget_keys() {
    with(|scope| scope.keys.borrow_mut().clear());
}

pub(crate) fn verify(key: u32, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
    with(|scope| {
        let keys = scope.keys.borrow();
        let key = keys.get(key as usize).expect("trap: no such key");
        key.verify(algorithm, message, signature)
    })
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
    digest.as_ref().try_into().expect("SHA-256 is 32 bytes")
}
