//! Processes that wait to be coordinators. They were registered when the server started, so their worker slots are
//! theirs whatever else the server runs; the launcher gives them databases.
//!
//! ```text
//!           the process waits            the launcher gives it a database        the process takes it
//!   Empty --------------------> Waiting -------------------------------> Given -----------------------> Empty
//! ```
//! A process that has taken its assignment is a coordinator, and ends as one. The server then starts another process,
//! which waits in its turn.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// So many at most.
pub const PLACES: usize = 64;

const EMPTY: u32 = 0;
const WAITING: u32 = 1;
const GIVEN: u32 = 2;

/// The database that a process is to coordinate, as an entry of the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    pub entry: u32,
    pub generation: u64,
    pub database: u32,
}

/// A place in the reserve: one process waits there.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct ReservePlace {
    state: AtomicU32,
    proc: AtomicU32,
    entry: AtomicU32,
    database: AtomicU32,
    generation: AtomicU64,
}

impl ReservePlace {
    /// A process with this latch is here.
    pub fn wait(&self, proc: u32) {
        self.proc.store(proc, Relaxed);
        self.state.store(WAITING, SeqCst);
    }

    /// What the process was assigned, if anything. A process that leaves takes its assignment too, and does not follow it.
    pub fn take(&self) -> Option<Assignment> {
        self.state.compare_exchange(GIVEN, EMPTY, SeqCst, SeqCst).ok()?;
        Some(Assignment {
            entry: self.entry.load(Relaxed),
            generation: self.generation.load(Relaxed),
            database: self.database.load(Relaxed),
        })
    }

    /// The process ends. What it was assigned and has not seen.
    pub fn leave(&self) -> Option<Assignment> {
        let unseen = self.state.compare_exchange(WAITING, EMPTY, SeqCst, SeqCst).is_err();
        if unseen { self.take() } else { None }
    }

    fn waits(&self) -> bool {
        self.state.load(SeqCst) == WAITING
    }

    /// For the launcher alone: the latch of the process that has got the assignment.
    fn give(&self, assignment: Assignment) -> Option<u32> {
        if !self.waits() {
            return None;
        }
        self.entry.store(assignment.entry, Relaxed);
        self.generation.store(assignment.generation, Relaxed);
        self.database.store(assignment.database, Relaxed);
        let proc = self.proc.load(Relaxed);
        self.state.compare_exchange(WAITING, GIVEN, SeqCst, SeqCst).ok().map(|_| proc)
    }
}

/// Does a process wait?
pub fn any_waits(places: &[ReservePlace]) -> bool {
    places.iter().any(ReservePlace::waits)
}

/// Assign a database to a process that waits; its latch.
pub fn give(places: &[ReservePlace], assignment: Assignment) -> Option<u32> {
    places.iter().find_map(|place| place.give(assignment))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSIGNMENT: Assignment = Assignment { entry: 3, generation: 7, database: 5 };

    #[test]
    fn an_order_is_followed_once() {
        let places: [ReservePlace; 2] = Default::default();
        assert_eq!(give(&places, ASSIGNMENT), None, "nobody waits");
        places[1].wait(9);
        assert!(any_waits(&places) && places[1].take().is_none());
        assert_eq!(give(&places, ASSIGNMENT), Some(9));
        assert_eq!(give(&places, Assignment { database: 6, ..ASSIGNMENT }), None);
        assert_eq!(places[1].take(), Some(ASSIGNMENT));
        assert_eq!(places[1].take(), None);
        assert_eq!(places[1].leave(), None, "its assignment is its own affair");
    }

    #[test]
    fn who_leaves_says_which_order_nobody_follows() {
        let places: [ReservePlace; 2] = Default::default();
        places[0].wait(9);
        assert_eq!(places[0].leave(), None);
        assert_eq!(give(&places, ASSIGNMENT), None);
        places[0].wait(9);
        assert_eq!(give(&places, ASSIGNMENT), Some(9));
        assert_eq!(places[0].leave(), Some(ASSIGNMENT));
        assert_eq!(places[0].take(), None);
    }

    #[test]
    fn an_order_given_to_one_who_leaves_is_known_to_one_of_both() {
        for _ in 0..2_000 {
            let places: [ReservePlace; 1] = Default::default();
            places[0].wait(9);
            let (given, left) = std::thread::scope(|scope| {
                let launcher = scope.spawn(|| give(&places, ASSIGNMENT));
                (places[0].leave(), launcher.join().unwrap())
            });
            assert_eq!(given.is_some(), left.is_some());
        }
    }
}
