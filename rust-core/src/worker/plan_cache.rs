//! Plans of repeated commands. A plan is found by everything that decides what the command's text
//! means here: the bytes, the argument types, the acting user, the settings of the parser. All
//! plans are of one state of the catalogs: when the host says that these have changed, all go.
//! What a change concerns is not asked. A new cast, function or table may give another meaning to
//! a text that does not name it.

use crate::memory::{self, Grows, NoMemory};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Commands longer than this are not kept.
const MAX_COMMAND: usize = 64 * 1024;

/// What a plan is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanKey {
    pub command: Vec<u8>,
    pub types: Vec<u32>,
    pub user: u32,
    pub parse_hash: u64,
}

/// The same, borrowed from a request.
#[derive(Clone, Copy, Debug)]
pub struct PlanRef<'a, T> {
    pub command: &'a [u8],
    pub types: T,
    pub user: u32,
    pub parse_hash: u64,
}

impl PlanKey {
    pub fn of<T: Iterator<Item = u32> + Clone>(wanted: &PlanRef<T>) -> Result<Self, NoMemory> {
        Ok(Self {
            command: memory::copy(wanted.command, "a plan")?,
            types: memory::collect(wanted.types.clone(), "a plan")?,
            user: wanted.user,
            parse_hash: wanted.parse_hash,
        })
    }
}

struct CachedPlan<P> {
    key: PlanKey,
    plan: P,
    used: u64,
}

/// Least recently used plans leave first.
pub struct PlanCache<P> {
    buckets: HashMap<u64, Vec<CachedPlan<P>>>,
    hasher: RandomState,
    size: usize,
    clock: u64,
    /// The host's number for the state of the catalogs that all plans are of.
    changes: u64,
}

impl<P: Copy> Default for PlanCache<P> {
    fn default() -> Self {
        Self { buckets: HashMap::new(), hasher: RandomState::new(), size: 0, clock: 0, changes: 0 }
    }
}

impl<P: Copy> PlanCache<P> {
    fn hash(&self, command: &[u8], types: impl Iterator<Item = u32>, user: u32, parse: u64) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        command.hash(&mut hasher);
        types.for_each(|t| hasher.write_u32(t));
        hasher.write_u32(user);
        hasher.write_u64(parse);
        hasher.finish()
    }

    /// The catalogs are in this state now: plans of another one are handed to `drop_plan`.
    pub fn catch_up(&mut self, changes: u64, mut drop_plan: impl FnMut(P)) {
        if self.changes != changes {
            self.changes = changes;
            self.size = 0;
            self.buckets.drain().flat_map(|(_, list)| list).for_each(|e| drop_plan(e.plan));
        }
    }

    /// The plan of this key, if it is kept.
    pub fn find<T: Iterator<Item = u32> + Clone>(&mut self, wanted: &PlanRef<T>) -> Option<P> {
        let hash = self.hash(wanted.command, wanted.types.clone(), wanted.user, wanted.parse_hash);
        self.clock += 1;
        let entry = self.buckets.get_mut(&hash)?.iter_mut().find(|e| {
            e.key.user == wanted.user
                && e.key.parse_hash == wanted.parse_hash
                && e.key.command == wanted.command
                && e.key.types.iter().copied().eq(wanted.types.clone())
        })?;
        entry.used = self.clock;
        Some(entry.plan)
    }

    /// Is a command of this length worth keeping?
    pub fn takes(&self, command: &[u8], capacity: usize) -> bool {
        capacity > 0 && command.len() <= MAX_COMMAND
    }

    /// For one more.
    pub fn make_room(&mut self) -> Result<(), NoMemory> {
        self.buckets.room(1, "a plan")
    }

    /// Keep a plan, for which room was made; those that had to make room are handed to `drop_plan`.
    pub fn insert(&mut self, key: PlanKey, plan: P, capacity: usize, mut drop_plan: impl FnMut(P)) {
        while self.size >= capacity.max(1) {
            match self.remove_oldest() {
                Some(old) => drop_plan(old),
                None => break,
            }
        }
        let hash = self.hash(&key.command, key.types.iter().copied(), key.user, key.parse_hash);
        self.clock += 1;
        #[expect(clippy::disallowed_methods, reason = "room was made before")]
        self.buckets.entry(hash).or_default().push(CachedPlan { key, plan, used: self.clock });
        self.size += 1;
    }

    fn remove_oldest(&mut self) -> Option<P> {
        let (hash, used) =
            self.buckets.iter().flat_map(|(h, list)| list.iter().map(move |e| (*h, e.used))).min_by_key(|(_, used)| *used)?;
        let list = self.buckets.get_mut(&hash)?;
        let at = list.iter().position(|e| e.used == used)?;
        let entry = list.swap_remove(at);
        if list.is_empty() {
            self.buckets.remove(&hash);
        }
        self.size -= 1;
        Some(entry.plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(command: &str, types: &[u32], user: u32, parse_hash: u64) -> PlanKey {
        PlanKey { command: command.into(), types: types.to_vec(), user, parse_hash }
    }

    fn find(cache: &mut PlanCache<u32>, key: &PlanKey) -> Option<u32> {
        cache.find(&PlanRef { command: &key.command, types: key.types.iter().copied(), user: key.user, parse_hash: key.parse_hash })
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let mut cache = PlanCache::default();
        let base = key("SELECT $1", &[23], 10, 7);
        cache.insert(base.clone(), 1, 8, |_| {});
        assert_eq!(find(&mut cache, &base), Some(1));
        for other in [
            key("SELECT $2", &[23], 10, 7),
            key("SELECT $1", &[20], 10, 7),
            key("SELECT $1", &[23, 23], 10, 7),
            key("SELECT $1", &[23], 11, 7),
            key("SELECT $1", &[23], 10, 8),
        ] {
            assert_eq!(find(&mut cache, &other), None, "{other:?}");
        }
    }

    #[test]
    fn the_least_recently_used_plan_leaves_and_is_handed_back() {
        let mut cache = PlanCache::default();
        let keys: Vec<_> = (0..4).map(|i| key(&i.to_string(), &[], 0, 0)).collect();
        let mut dropped = Vec::new();
        for (i, key) in keys.iter().take(3).enumerate() {
            cache.insert(key.clone(), i as u32, 3, |p| dropped.push(p));
        }
        find(&mut cache, &keys[0]);
        cache.insert(keys[3].clone(), 3, 3, |p| dropped.push(p));
        assert_eq!(dropped, [1]);
        assert_eq!(find(&mut cache, &keys[0]), Some(0));
        cache.insert(key("x", &[], 0, 0), 9, 1, |p| dropped.push(p));
        dropped.sort_unstable();
        assert_eq!(dropped, [0, 1, 2, 3], "a smaller setting empties the cache down to it");
    }

    #[test]
    fn a_change_of_the_catalogs_drops_every_plan_once() {
        let mut cache = PlanCache::default();
        let keys: Vec<_> = (0..3).map(|i| key(&i.to_string(), &[], 0, 0)).collect();
        let mut dropped = Vec::new();
        cache.catch_up(5, |p| dropped.push(p));
        for (i, key) in keys.iter().enumerate() {
            cache.insert(key.clone(), i as u32, 3, |_| panic!("there is room"));
        }
        cache.catch_up(5, |_| panic!("nothing has changed"));
        assert_eq!(find(&mut cache, &keys[2]), Some(2));
        cache.catch_up(6, |p| dropped.push(p));
        cache.catch_up(6, |_| panic!("nothing has changed"));
        dropped.sort_unstable();
        assert_eq!(dropped, [0, 1, 2]);
        assert!(keys.iter().all(|key| find(&mut cache, key).is_none()));
        cache.insert(keys[0].clone(), 7, 1, |_| panic!("there is room"));
        assert_eq!(find(&mut cache, &keys[0]), Some(7));
    }
}
