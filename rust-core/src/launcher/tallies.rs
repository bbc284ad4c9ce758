//! What becomes of events and notifications, by handler: counted by each coordinator, in shared memory for the views of
//! others.
//!
//! A place belongs to a handler of a database for as long as its coordinator says so; that one alone takes it,
//! writes to it and gives it back. All of it is atomic; all zeroes is an empty table.

use crate::async_event::stats::{HandlerCounts, WORDS};
use crate::memory::Grows;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// Handlers of all databases that are counted. Tests have registries on their stacks.
pub const PLACES: usize = if cfg!(test) { 64 } else { 1024 };

/// When a place is looked for again, if there was none.
const LOOK_EVERY_US: u64 = 10_000_000;

#[repr(C, align(64))]
#[derive(Debug, Default)]
struct TallyPlace {
    /// Database and handler; 0: nobody's.
    owner: AtomicU64,
    counts: Words,
}

#[derive(Debug)]
struct Words([AtomicU64; WORDS]);

impl Default for Words {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

#[derive(Debug)]
pub struct Tallies {
    places: [TallyPlace; PLACES],
}

impl Default for Tallies {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| TallyPlace::default()) }
    }
}

fn owner(database: u32, handler: u32) -> u64 {
    u64::from(database) << 32 | u64::from(handler)
}

impl TallyPlace {
    fn write(&self, counts: &HandlerCounts) {
        self.counts.0.iter().zip(counts.to_words()).for_each(|(place, word)| place.store(word, Relaxed));
    }

    fn read(&self) -> HandlerCounts {
        HandlerCounts::from_words(&std::array::from_fn(|i| self.counts.0.get(i).map_or(0, |word| word.load(Relaxed))))
    }

    fn free(&self) {
        self.write(&HandlerCounts::default());
        self.owner.store(0, Release);
    }
}

impl Tallies {
    /// Nothing is counted in this database any more.
    pub fn leave(&self, database: u32) {
        let of_it = |place: &&TallyPlace| place.owner.load(Acquire) >> 32 == u64::from(database);
        self.places.iter().filter(of_it).for_each(TallyPlace::free);
    }

    /// A row of a view: database, handler, what was counted. None after the last place.
    pub fn row(&self, index: usize) -> Option<(u32, u32, HandlerCounts)> {
        let place = self.places.get(index)?;
        let before = place.owner.load(Acquire);
        let counts = place.read();
        // Read only if it had the same owner all the while.
        let owner = if place.owner.load(Acquire) == before { before } else { 0 };
        Some(((owner >> 32) as u32, owner as u32, counts))
    }

    fn take(&self, owner: u64) -> Option<usize> {
        self.places.iter().position(|place| place.owner.compare_exchange(0, owner, AcqRel, Relaxed).is_ok())
    }
}

/// A coordinator's side: where it counts.
#[derive(Debug, Default)]
pub struct Teller {
    places: HashMap<u32, usize>,
    look_at: u64,
}

impl Teller {
    /// What it has counted so far, of all the handlers that there are.
    pub fn tell(&mut self, tallies: &Tallies, database: u32, counts: &[(u32, HandlerCounts)], now_us: u64) {
        if self.places.len() + counts.len() > 0 {
            self.forget(tallies, counts);
        }
        for (handler, counts) in counts {
            if self.places.room(1, "counts of handlers").is_err() {
                return;
            }
            let known = self.places.get(handler).copied();
            let place = known.or_else(|| self.look(tallies, owner(database, *handler), now_us));
            if let Some((index, place)) = place.and_then(|index| Some((index, tallies.places.get(index)?))) {
                #[expect(clippy::disallowed_methods, reason = "there is room")]
                self.places.insert(*handler, index);
                place.write(counts);
            }
        }
    }

    /// Those of handlers that are gone.
    fn forget(&mut self, tallies: &Tallies, counts: &[(u32, HandlerCounts)]) {
        self.places.retain(|handler, index| {
            let there = counts.binary_search_by_key(handler, |(id, _)| *id).is_ok();
            if !there {
                tallies.places.get(*index).into_iter().for_each(TallyPlace::free);
            }
            there
        });
    }

    fn look(&mut self, tallies: &Tallies, owner: u64, now_us: u64) -> Option<usize> {
        if now_us < self.look_at {
            return None;
        }
        let place = tallies.take(owner);
        if place.is_none() {
            self.look_at = now_us + LOOK_EVERY_US;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(waiting: u64) -> HandlerCounts {
        HandlerCounts::from_words(&std::array::from_fn(|i| if i == 0 { waiting } else { 1 }))
    }

    fn rows(tallies: &Tallies) -> Vec<(u32, u32, u64)> {
        let rows = (0..).map_while(|index| tallies.row(index));
        rows.filter(|row| row.0 != 0).map(|(database, handler, counts)| (database, handler, counts.to_words()[0])).collect()
    }

    #[test]
    fn what_a_coordinator_counts_is_read_until_its_handler_or_itself_is_gone() {
        let tallies = Box::<Tallies>::default();
        let (mut one, mut other) = (Teller::default(), Teller::default());
        one.tell(&tallies, 10, &[(1, counts(100)), (2, counts(200))], 0);
        other.tell(&tallies, 20, &[(1, counts(300))], 0);
        assert_eq!(rows(&tallies), [(10, 1, 100), (10, 2, 200), (20, 1, 300)]);
        assert_eq!(tallies.row(0).unwrap().2, counts(100));
        one.tell(&tallies, 10, &[(2, counts(201)), (3, counts(0))], 0);
        assert_eq!(rows(&tallies), [(10, 3, 0), (10, 2, 201), (20, 1, 300)]);
        tallies.leave(10);
        assert_eq!(rows(&tallies), [(20, 1, 300)]);
        assert_eq!(tallies.row(0).unwrap().2, HandlerCounts::default());
    }

    #[test]
    fn where_no_place_is_left_one_is_looked_for_again_later() {
        let tallies = Box::<Tallies>::default();
        let (mut many, mut late) = (Teller::default(), Teller::default());
        let all: Vec<_> = (1..=PLACES as u32).map(|handler| (handler, counts(1))).collect();
        many.tell(&tallies, 10, &all, 0);
        late.tell(&tallies, 20, &[(1, counts(2))], 0);
        assert_eq!(rows(&tallies).len(), PLACES);
        many.tell(&tallies, 10, &all[1..], 0);
        late.tell(&tallies, 20, &[(1, counts(2))], LOOK_EVERY_US - 1);
        assert_eq!(rows(&tallies).len(), PLACES - 1);
        late.tell(&tallies, 20, &[(1, counts(2))], LOOK_EVERY_US);
        assert!(rows(&tallies).contains(&(20, 1, 2)));
    }
}
