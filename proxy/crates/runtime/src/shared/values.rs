//! Keyed values with an end: a bounded store in which what ends first goes first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// What an entry costs beside its key (kept once, shared) and value: two map slots and two counts.
const OVERHEAD_BYTES: usize = 160;

/// Shared by workers. Reading does not change anything, so readers do not wait for each other.
pub(crate) struct KeyedValues(RwLock<Store>);

impl KeyedValues {
    pub(crate) fn new(limit: usize) -> Self {
        Self(RwLock::new(Store { limit, ..Store::default() }))
    }

    pub(crate) fn limit(&self, bytes: usize) {
        let mut store = self.write();
        store.limit = bytes;
        store.make_room(0, 0);
    }

    pub(crate) fn get(&self, key: &str, now_ms: u64) -> Option<Arc<[u8]>> {
        self.read().get(key, now_ms)
    }

    pub(crate) fn put(&self, key: &str, value: &[u8], ttl_ms: u32, now_ms: u64) {
        self.write().put(key, value, ttl_ms, now_ms);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.read().bytes
    }

    pub(crate) fn displaced(&self) -> u64 {
        self.read().displaced
    }

    // A panic cannot leave the store half changed in a way that matters: at worst a count is off.
    fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Store> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Store {
    limit: usize,
    bytes: usize,
    displaced: u64,
    entries: HashMap<Arc<str>, Entry>,
    /// By end, then by age; values without an end come last.
    order: BTreeMap<(u64, u64), Arc<str>>,
    /// Counts puts.
    sequence: u64,
}

struct Entry {
    value: Arc<[u8]>,
    /// Key in `order`: the end in milliseconds, and the number of the put.
    place: (u64, u64),
}

impl Store {
    fn get(&self, key: &str, now_ms: u64) -> Option<Arc<[u8]>> {
        let entry = self.entries.get(key)?;
        (now_ms < entry.place.0).then(|| Arc::clone(&entry.value))
    }

    /// A value that alone is larger than the store is not kept, and the old one of its key is gone.
    fn put(&mut self, key: &str, value: &[u8], ttl_ms: u32, now_ms: u64) {
        self.remove(key);
        let cost = cost(key, value);
        if cost > self.limit {
            self.displaced += 1;
            return;
        }
        self.make_room(cost, now_ms);
        let end = if ttl_ms == 0 { u64::MAX } else { now_ms.saturating_add(u64::from(ttl_ms)) };
        self.sequence += 1;
        let place = (end, self.sequence);
        let key: Arc<str> = key.into();
        self.order.insert(place, Arc::clone(&key));
        self.entries.insert(key, Entry { value: value.into(), place });
        self.bytes += cost;
    }

    fn make_room(&mut self, cost: usize, now_ms: u64) {
        while self.bytes.saturating_add(cost) > self.limit {
            let Some(((end, _), key)) = self.order.pop_first() else { return };
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes = self.bytes.saturating_sub(self::cost(&key, &entry.value));
            }
            self.displaced += u64::from(end > now_ms);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.place);
            self.bytes = self.bytes.saturating_sub(cost(key, &entry.value));
        }
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len().saturating_add(value.len()).saturating_add(OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_for(entries: usize) -> KeyedValues {
        KeyedValues::new(entries * cost("k", b"v"))
    }

    fn present(values: &KeyedValues, keys: &str, now_ms: u64) -> String {
        keys.chars().filter(|key| values.get(&key.to_string(), now_ms).is_some()).collect()
    }

    #[test]
    fn a_value_lives_until_its_end() {
        let values = room_for(4);
        values.put("a", b"1", 100, 1_000);
        assert_eq!(values.get("a", 1_099).as_deref(), Some(&b"1"[..]));
        assert_eq!(values.get("a", 1_100), None);
        values.put("a", b"2", 0, 1_100);
        assert_eq!(values.get("a", u64::MAX - 1).as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn what_ends_first_goes_first_and_the_endless_go_last_by_age() {
        let values = room_for(3);
        values.put("a", b"v", 0, 0);
        values.put("b", b"v", 500, 0);
        values.put("c", b"v", 100, 0);
        values.put("d", b"v", 900, 0);
        assert_eq!(present(&values, "abcd", 1), "abd");
        values.put("e", b"v", 0, 0);
        assert_eq!(present(&values, "abde", 1), "ade");
        values.put("f", b"v", 0, 0);
        values.put("g", b"v", 0, 0);
        assert_eq!(present(&values, "adefg", 1), "efg");
        assert_eq!(values.displaced(), 4);
    }

    #[test]
    fn what_has_ended_is_no_displacement() {
        let values = room_for(1);
        values.put("a", b"v", 10, 0);
        values.put("b", b"v", 10, 20);
        assert_eq!((present(&values, "ab", 21), values.displaced()), ("b".to_owned(), 0));
    }

    #[test]
    fn replacing_frees_what_was_there() {
        let values = room_for(2);
        for i in 0..1_000_u64 {
            values.put("a", b"v", 50, i);
        }
        assert_eq!(values.bytes(), cost("k", b"v"));
    }

    #[test]
    fn what_is_larger_than_the_store_is_not_kept() {
        let values = room_for(2);
        values.put("a", b"v", 0, 0);
        values.put("a", &[0; 4096], 0, 0);
        assert_eq!((values.get("a", 0), values.bytes(), values.displaced()), (None, 0, 1));
    }

    #[test]
    fn a_smaller_bound_holds_at_once() {
        let values = room_for(10);
        for key in "abcdefghij".chars() {
            values.put(&key.to_string(), b"v", 0, 0);
        }
        values.limit(2 * cost("k", b"v"));
        assert_eq!(present(&values, "abcdefghij", 1), "ij");
    }
}
