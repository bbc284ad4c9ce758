//! Processes that wait to be coordinators. They were registered when the server started, so their worker slots are
//! theirs whatever else the server runs; the launcher gives them databases.
//!
//! ```text
//!           the process waits            the launcher gives it an order          the process takes it
//!   Empty --------------------> Waiting -------------------------------> Given -----------------------> Empty
//! ```
//! Who takes an order is a coordinator from then on, and ends as one; the server then starts another process, which
//! waits anew.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// So many at most.
pub const PLACES: usize = 64;

const EMPTY: u32 = 0;
const WAITING: u32 = 1;
const GIVEN: u32 = 2;

/// To be the coordinator of an entry of the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    pub entry: u32,
    pub generation: u64,
    pub database: u32,
}

/// Where one process waits.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Place {
    state: AtomicU32,
    proc: AtomicU32,
    entry: AtomicU32,
    database: AtomicU32,
    generation: AtomicU64,
}

impl Place {
    /// A process with this latch is here.
    pub fn wait(&self, proc: u32) {
        self.proc.store(proc, Relaxed);
        self.state.store(WAITING, SeqCst);
    }

    /// The order, if there is one; also that of a process that leaves, which then nobody follows.
    pub fn take(&self) -> Option<Order> {
        self.state.compare_exchange(GIVEN, EMPTY, SeqCst, SeqCst).ok()?;
        Some(Order { entry: self.entry.load(Relaxed), generation: self.generation.load(Relaxed), database: self.database.load(Relaxed) })
    }

    /// The process ends. The order that it was given and has not seen.
    pub fn leave(&self) -> Option<Order> {
        let unseen = self.state.compare_exchange(WAITING, EMPTY, SeqCst, SeqCst).is_err();
        if unseen { self.take() } else { None }
    }

    fn waits(&self) -> bool {
        self.state.load(SeqCst) == WAITING
    }

    /// For the launcher alone: the latch of the process that has got the order.
    fn give(&self, order: Order) -> Option<u32> {
        if !self.waits() {
            return None;
        }
        self.entry.store(order.entry, Relaxed);
        self.generation.store(order.generation, Relaxed);
        self.database.store(order.database, Relaxed);
        let proc = self.proc.load(Relaxed);
        self.state.compare_exchange(WAITING, GIVEN, SeqCst, SeqCst).ok().map(|_| proc)
    }
}

/// Somebody waits.
pub fn any_waits(places: &[Place]) -> bool {
    places.iter().any(Place::waits)
}

/// Have somebody who waits follow an order; his latch.
pub fn give(places: &[Place], order: Order) -> Option<u32> {
    places.iter().find_map(|place| place.give(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Order = Order { entry: 3, generation: 7, database: 5 };

    #[test]
    fn an_order_is_followed_once() {
        let places: [Place; 2] = Default::default();
        assert_eq!(give(&places, ORDER), None, "nobody waits");
        places[1].wait(9);
        assert!(any_waits(&places) && places[1].take().is_none());
        assert_eq!(give(&places, ORDER), Some(9));
        assert_eq!(give(&places, Order { database: 6, ..ORDER }), None);
        assert_eq!(places[1].take(), Some(ORDER));
        assert_eq!(places[1].take(), None);
        assert_eq!(places[1].leave(), None, "its order is its own affair");
    }

    #[test]
    fn who_leaves_says_which_order_nobody_follows() {
        let places: [Place; 2] = Default::default();
        places[0].wait(9);
        assert_eq!(places[0].leave(), None);
        assert_eq!(give(&places, ORDER), None);
        places[0].wait(9);
        assert_eq!(give(&places, ORDER), Some(9));
        assert_eq!(places[0].leave(), Some(ORDER));
        assert_eq!(places[0].take(), None);
    }

    #[test]
    fn an_order_given_to_one_who_leaves_is_known_to_one_of_both() {
        for _ in 0..2_000 {
            let places: [Place; 1] = Default::default();
            places[0].wait(9);
            let (given, left) = std::thread::scope(|scope| {
                let launcher = scope.spawn(|| give(&places, ORDER));
                (places[0].leave(), launcher.join().unwrap())
            });
            assert_eq!(given.is_some(), left.is_some());
        }
    }
}
