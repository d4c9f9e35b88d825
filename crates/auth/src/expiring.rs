//! A bounded map whose entries expire. A slow reader cannot insert a value that was changed after it was read.

use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use dashmap::DashMap;

/// See the module. Readers and writers keep this order:
///
/// - the reader takes [`Expiring::epoch`], reads the database, then calls [`Expiring::insert`] with it;
/// - the writer commits, then calls [`Expiring::remove`].
///
/// An insert whose epoch has passed does nothing, so that an answer read before the change is not kept
/// after it.
#[derive(Debug)]
pub struct Expiring<K: Eq + Hash, V> {
    entries: DashMap<K, (V, Instant)>,
    epoch: AtomicU64,
    capacity: usize,
}

/// When a reader began to read.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(u64);

impl<K: Eq + Hash, V: Clone> Expiring<K, V> {
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: DashMap::new(),
            epoch: AtomicU64::new(0),
            capacity,
        }
    }

    pub fn get(&self, key: &K, now: Instant) -> Option<V> {
        let entry = self.entries.get(key)?;
        let (value, expires) = entry.value();
        (now < *expires).then(|| value.clone())
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    /// Keeps the value until `expires`, unless something was removed since `epoch`.
    pub fn insert(&self, epoch: Epoch, key: K, value: V, expires: Instant, now: Instant) {
        if self.entries.len() >= self.capacity {
            self.make_room(now);
        }
        // The entry is locked while the epoch is compared: `remove` either sees it, or has passed already.
        let entry = self.entries.entry(key);
        if self.epoch.load(Ordering::SeqCst) == epoch.0 {
            entry.insert((value, expires));
        }
    }

    pub fn remove(&self, key: &K) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.entries.remove(key);
    }

    pub fn remove_where(&self, matches: impl Fn(&K, &V) -> bool) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.entries.retain(|key, (value, _)| !matches(key, value));
    }

    /// Removes expired entries; if there are none, removes all: it is only a cache.
    fn make_room(&self, now: Instant) {
        self.entries.retain(|_, (_, expires)| now < *expires);
        if self.entries.len() >= self.capacity {
            self.entries.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use pointsman_clock::Clock;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_entry_is_there_until_it_expires() {
        let (cache, now) = (Expiring::new(9), Clock.instant());
        cache.insert(cache.epoch(), "key", 1, now + MINUTE, now);
        assert_eq!(cache.get(&"key", now), Some(1));
        assert_eq!(cache.get(&"key", now + MINUTE), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (cache, now) = (Expiring::new(9), Clock.instant());
        let epoch = cache.epoch();
        cache.remove(&"key");
        cache.insert(epoch, "key", 1, now + MINUTE, now);
        assert_eq!(cache.get(&"key", now), None);
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let (cache, now) = (Expiring::new(3), Clock.instant());
        for key in 0..100 {
            cache.insert(cache.epoch(), key, (), now + MINUTE, now);
            assert!(cache.entries.len() <= 3);
            assert_eq!(cache.get(&key, now), Some(()));
        }
    }

    #[test]
    fn entries_go_by_their_value_too() {
        let (cache, now) = (Expiring::new(9), Clock.instant());
        cache.insert(cache.epoch(), 1, "ann", now + MINUTE, now);
        cache.insert(cache.epoch(), 2, "bob", now + MINUTE, now);
        cache.remove_where(|_, name| *name == "ann");
        assert_eq!(cache.get(&1, now), None);
        assert_eq!(cache.get(&2, now), Some("bob"));
    }
}
