//! Where only so many events of a key may run at a time: which of those that are due may begin, the first in line, and which
//! wait for one of their key to end.

use super::item::{Map, key_of};
use crate::memory::{Grows, NoMemory};
use std::collections::BTreeSet;

#[derive(Default)]
struct OfKey {
    running: usize,
    /// Those that may begin, and those that wait, by their places in line.
    seated: BTreeSet<(i64, i64)>,
    behind: BTreeSet<(i64, i64)>,
}

pub(super) struct Caps {
    most: usize,
    keys: Map<u64, OfKey>,
}

/// What one more step towards the right seats is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    MayBegin(i64),
    Waits(i64),
}

impl Caps {
    pub fn new(most: u32) -> Self {
        Self { most: most.max(1) as usize, keys: Map::default() }
    }

    pub fn most(&self) -> u32 {
        self.most as u32
    }

    /// Events without a key are not of one.
    pub fn counts(key: u64) -> bool {
        key != key_of(None)
    }

    pub fn room(&mut self) -> Result<(), NoMemory> {
        self.keys.room(1, "keys of events")
    }

    pub fn wait(&mut self, key: u64, place: (i64, i64)) {
        self.keys.entry(key).or_default().behind.insert(place);
    }

    /// It waits no more, or is about to begin.
    pub fn leave(&mut self, key: u64, place: (i64, i64)) {
        if let Some(of_key) = self.keys.get_mut(&key) {
            _ = of_key.seated.remove(&place) || of_key.behind.remove(&place);
            self.forget(key);
        }
    }

    pub fn occupy(&mut self, key: u64) {
        self.keys.entry(key).or_default().running += 1;
    }

    pub fn release(&mut self, key: u64) {
        if let Some(of_key) = self.keys.get_mut(&key) {
            of_key.running = of_key.running.saturating_sub(1);
            self.forget(key);
        }
    }

    fn forget(&mut self, key: u64) {
        let empty = |of_key: &OfKey| of_key.running == 0 && of_key.seated.is_empty() && of_key.behind.is_empty();
        if self.keys.get(&key).is_some_and(empty) {
            self.keys.remove(&key);
        }
    }

    /// To be made until there is none.
    pub fn change(&mut self, key: u64) -> Option<Change> {
        let most = self.most;
        let of_key = self.keys.get_mut(&key)?;
        let may = most.saturating_sub(of_key.running);
        let first = of_key.behind.first().copied();
        let last = of_key.seated.last().copied();
        match (first, last) {
            (_, Some(last)) if of_key.seated.len() > may || first.is_some_and(|first| of_key.seated.len() == may && first < last) => {
                of_key.seated.remove(&last);
                of_key.behind.insert(last);
                Some(Change::Waits(last.1))
            }
            (Some(first), _) if of_key.seated.len() < may => {
                of_key.behind.remove(&first);
                of_key.seated.insert(first);
                Some(Change::MayBegin(first.1))
            }
            _ => None,
        }
    }

    /// Nothing waits; what runs goes on.
    pub fn clear(&mut self) {
        self.keys.retain(|_, of_key| {
            (of_key.seated, of_key.behind) = (BTreeSet::new(), BTreeSet::new());
            of_key.running > 0
        });
    }

    pub fn shrink(&mut self) {
        self.keys.shrink_to(2 * self.keys.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that may begin, by what each change says.
    fn settle(caps: &mut Caps, key: u64, may: &mut BTreeSet<i64>) {
        while let Some(change) = caps.change(key) {
            assert!(match change {
                Change::MayBegin(id) => may.insert(id),
                Change::Waits(id) => may.remove(&id),
            });
        }
    }

    #[test]
    fn the_first_in_line_may_begin_and_no_more_than_those() {
        let (mut caps, mut may) = (Caps::new(2), BTreeSet::new());
        for place in [(5, 1), (3, 2), (4, 3)] {
            caps.wait(9, place);
            settle(&mut caps, 9, &mut may);
        }
        assert_eq!(may, [2, 3].into());
        caps.leave(9, (3, 2));
        caps.occupy(9);
        may.remove(&2);
        settle(&mut caps, 9, &mut may);
        assert_eq!(may, [3].into(), "one runs");
        caps.wait(9, (1, 4));
        settle(&mut caps, 9, &mut may);
        assert_eq!(may, [4].into(), "who comes first takes the place");
        caps.release(9);
        settle(&mut caps, 9, &mut may);
        assert_eq!(may, [3, 4].into());
        for place in [(5, 1), (4, 3), (1, 4)] {
            caps.leave(9, place);
        }
        assert!(caps.keys.is_empty());
    }
}
